// vitrine type: a structure of this very kernel, with offsets.
#include "cli/commands/families.h"
#include "cli/session.h"

namespace vitrine::cli {
namespace {

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto session = TRY(Session::open(context, words));
  auto text = session.guest().describe_type(words.operands.front());
  if (!text) return std::unexpected(std::move(text).error());
  // Names in BTF are the guest's; lines and their tabs are ours.
  std::string out;
  std::size_t from = 0;
  while (from < text->size()) {
    const auto end = std::min(text->find_first_of("\n\t", from), text->size());
    out += escape(std::string_view(*text).substr(from, end - from), context.console.charset);
    if (end < text->size()) out += (*text)[end];
    from = end + 1;
  }
  context.console.out.write(out);
  return session.status();
}

}  // namespace

Command type_command() {
  return {.name = "type",
          .group = "Kernel",
          .summary = "a kernel structure with offsets, or one member of it",
          .operands = {{"VM", Words::machine}, {"TYPE[.MEMBER...]", Words::type}},
          .options = {{"--no-cache", "", "recover the kernel's symbols and types anew"}},
          .description =
              "Prints the type as the running kernel itself describes it (BTF), laid out as pahole "
              "does. A member's path may follow pointers: task_struct.mm->exe_file.",
          .examples = {"vitrine type web1 list_head", "vitrine type web1 task_struct.se.vruntime"},
          .run = run};
}

}  // namespace vitrine::cli
