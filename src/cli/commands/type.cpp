// vitrine type: a structure of this very kernel, with offsets, or what stands in one.
#include <fmt/format.h>

#include "cli/address_words.h"
#include "cli/commands/families.h"
#include "cli/object_text.h"
#include "cli/session.h"
#include "cli/symbol_words.h"
#include "linux/type_format.h"

namespace vitrine::cli {
namespace {

constexpr std::uint64_t kImage = 0xffff'ffff'8000'0000;  // kernel and modules lie above
constexpr std::uint64_t kNear = 4096;                    // a name further away says nothing

/// "init_task", "[ext4] ext4_readdir+0x10"; the direct map's objects have no names.
std::string name_of(const Guest& guest, Gva address) {
  if (address.value < kImage) return {};
  for (const auto* table : {&guest.symbols(), &guest.module_symbols()}) {
    if (table->nearest(address, kNear)) return linux::symbolize(*table, address);
  }
  return {};
}

Outcome<Status> print_values(const std::string& at, Context& context, const Arguments& words,
                             const Session& session) {
  const auto& guest = session.guest();
  const auto& types = guest.types();
  const auto path = TRY(linux::MemberPath::compile(types, words.operands.front()));
  const auto object = TRY(
      parse_address(at, [&](std::string_view name) { return find_symbol(session.guest(), name); }));
  Gva place;
  const auto value = TRY(linux::read_object(guest.memory(), types, path, Gva{object}, place));
  const auto type = linux::type_name(path.type());
  auto& out = context.console.out;
  if (words.has("--json")) {
    std::string line = "{\"type\":";
    append_json(line, type);
    line += fmt::format(",\"address\":\"{:#x}\",\"value\":", place.value);
    out.write(line + object_json(value) + "}\n");
  } else {
    const NameOfAddress name = [&](Gva address) { return name_of(guest, address); };
    const auto known = name(place);
    out.write(fmt::format("/* {} at {:#x}{} */\n{}\n", escape(type, context.console.charset),
                          place.value,
                          known.empty() ? "" : " <" + escape(known, context.console.charset) + ">",
                          object_text(value, name, context.console.charset)));
  }
  TRY(session.still_there());
  if (!has_unreadable(value)) return session.status();
  context.console.remark("! a part of it cannot be read: \"?\" (null in JSON)");
  return Status::doubtful;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto at = words.value("--at");
  if (!at && words.has("--json")) {
    return std::unexpected(Problem(Errc::invalid, "--json prints values: say where they stand",
                                   "vitrine type VM task_struct --at init_task --json"));
  }
  const auto session = TRY(Session::open(context, words));
  auto text = session.guest().describe_type(words.operands.front());
  if (!text) return std::unexpected(std::move(text).error());
  if (at) return print_values(std::string(*at), context, words, session);
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
  return {
      .name = "type",
      .group = "Kernel",
      .summary = "a kernel structure: offsets, a member, what stands in one",
      .operands = {{"VM", Words::machine}, {"TYPE[.MEMBER...]", Words::type}},
      .options = {{"--at", "ADDRESS", "what stands there, member by member: a symbol or a number",
                   Words::symbol},
                  {"--json", "", "with --at: one line, with type, address and value"},
                  {"--no-cache", "", "recover the kernel's symbols and types anew"}},
      .description =
          "Prints the type as the running kernel itself describes it (BTF), laid out as pahole "
          "does. A member's path may follow pointers: task_struct.mm->exe_file.\n\n"
          "With --at, the values: of the object at that address, or of what the path leads to "
          "from there. Of large arrays the first 16 elements are shown, of bytes the first 64.",
      .examples = {"vitrine type web1 list_head", "vitrine type web1 task_struct.se.vruntime",
                   "vitrine type web1 task_struct --at init_task",
                   "vitrine type web1 'task_struct.mm->exe_file' --at 0xffff9b4a80a18000 --json"},
      .run = run};
}

}  // namespace vitrine::cli
