// vitrine kernel: what a script can know of a kernel, saved for `vitrine check --kernel`.
#include <fmt/core.h>

#include "cli/commands/families.h"
#include "cli/session.h"
#include "probe/kernel_description_text.h"

namespace vitrine::cli {
namespace {

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto session = TRY(Session::open(context, words));
  const auto& guest = session.guest();
  if (context.console.interactive) {
    return std::unexpected(
        Problem(Errc::invalid, "the description has some 10 MiB; standard output is a terminal",
                "vitrine kernel VM > FILE, then vitrine check --kernel FILE SCRIPT"));
  }
  if (guest.types().empty())
    context.console.remark("! this kernel carries no types of its own: only its symbols are saved");
  probe::describe_kernel(
      {guest.identity().release, guest.symbols(), guest.module_symbols(), guest.types()},
      [&](std::string_view text) { return context.console.out.write(text); });
  TRY(session.still_there());
  return session.status();
}

}  // namespace

Command kernel_command() {
  return {
      .name = "kernel",
      .group = "Kernel",
      .summary = "save a kernel's symbols and types, to check scripts against",
      .operands = {{"VM", Words::machine}},
      .options = {{"--no-cache", "", "recover the kernel's symbols and types anew"}},
      .description =
          "Writes a text (its form stands in src/vmipl/kernel_description.h) to standard output: "
          "every symbol, those of loaded modules too, and every type of the kernel. Scripts are "
          "then checked without the machine: vitrine check --kernel FILE.",
      .examples = {"vitrine kernel web1 > web1.kernel",
                   "vitrine check --kernel web1.kernel trace.vmi"},
      .run = run};
}

}  // namespace vitrine::cli
