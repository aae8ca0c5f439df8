// The commands that are one view each, in the shape people know from the guest's own tools.
#include <fmt/core.h>

#include <span>
#include <string>

#include "cli/commands/families.h"
#include "cli/view_run.h"

namespace vitrine::cli {
namespace {

Command view_command(std::string_view name, std::string_view view, std::string_view summary,
                     Shape shape, std::string_view description,
                     std::vector<std::string_view> examples) {
  return {.name = name,
          .group = "Look",
          .summary = summary,
          .operands = {{"VM", Words::machine}},
          .options = view_options(),
          .description = description,
          .examples = std::move(examples),
          .run = [view, shape = std::move(shape)](Context& context, const Arguments& words) {
            return run_view(view, shape, context, words);
          }};
}

using linux::ColumnType;
using linux::Value;
using Values = std::span<const Value>;

const std::string* text_in(const Value& value) { return std::get_if<std::string>(&value); }

/// user, system
Value sum(Values times) {
  const auto* user = std::get_if<std::int64_t>(&times[0]);
  const auto* system = std::get_if<std::int64_t>(&times[1]);
  if (user == nullptr || system == nullptr) return {};
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(*user) +
                                   static_cast<std::uint64_t>(*system));
}

/// cmdline, name: as ps does, the name in brackets where there are no arguments.
Value command(Values words) {
  const auto* line = text_in(words[0]);
  if (line != nullptr && !line->empty()) return *line;
  const auto* name = text_in(words[1]);
  return name == nullptr ? Value() : Value("[" + *name + "]");
}

/// start, end: "400000-401000", as /proc/PID/maps writes it.
Value range(Values ends) {
  const auto* start = std::get_if<std::uint64_t>(&ends[0]);
  const auto* end = std::get_if<std::uint64_t>(&ends[1]);
  if (start == nullptr || end == nullptr) return {};
  return fmt::format("{:08x}-{:08x}", *start, *end);
}

/// process, pid, fd: "sshd[842]:3".
Value owner(Values socket) {
  const auto* name = text_in(socket[0]);
  if (name == nullptr) return {};
  std::string text = *name;
  if (const auto* pid = std::get_if<std::int64_t>(&socket[1]))
    text += "[" + std::to_string(*pid) + "]";
  if (const auto* fd = std::get_if<std::int64_t>(&socket[2])) text += ":" + std::to_string(*fd);
  return text;
}

}  // namespace

Command ps_command() {
  Shape shape = {{"", {"pid"}},    {"", {"ppid"}},
                 {"", {"uid"}},    {"", {"tty"}},
                 {"S", {"state"}}, {"TIME", {"cpu_user", "cpu_system"}, sum, ColumnType::duration},
                 {"", {"rss"}},    {"COMMAND", {"cmdline", "name"}, command}};
  return view_command(
      "ps", "processes", "processes", std::move(shape),
      "The view \"processes\": every process, kernel thread and zombie. Programs that give no "
      "arguments, kernel threads among them, are shown by name, in brackets.",
      {"vitrine ps web1", "vitrine ps web1 --sort -rss",
       "vitrine ps web1 --pid 1 --columns +env --json"});
}

Command threads_command() {
  return view_command("threads", "threads", "threads, one row each", {}, "The view \"threads\".",
                      {"vitrine threads web1 --pid 842"});
}

Command lsmod_command() {
  Shape shape = {{"", {"name"}},      {"", {"size"}},  {"USED", {"references"}},
                 {"BY", {"used_by"}}, {"", {"state"}}, {"", {"taints"}}};
  auto command =
      view_command("lsmod", "modules", "kernel modules", std::move(shape), "The view \"modules\".",
                   {"vitrine lsmod web1", "vitrine lsmod web1 --columns +text,+build_id"});
  command.options = view_options_without({"--pid"});
  return command;
}

Command lsof_command() {
  Shape shape = {{"", {"pid"}},
                 {"COMMAND", {"name"}},
                 {"", {"fd"}},
                 {"", {"type"}},
                 {"", {"access"}},
                 {"", {"size"}},
                 {"", {"path"}, nullptr, ColumnType::text, true}};
  return view_command("lsof", "files", "open files, by process", std::move(shape),
                      "The view \"files\".", {"vitrine lsof web1 --pid 1"});
}

Command ss_command() {
  constexpr unsigned kState = 11;    // "ESTABLISHED"
  constexpr unsigned kAddress = 21;  // "255.255.255.255:65535"
  Shape shape = {{"PROTO", {"protocol"}},
                 {"", {"state"}, nullptr, ColumnType::text, false, kState},
                 {"RECV-Q", {"rx_queue"}},
                 {"SEND-Q", {"tx_queue"}},
                 {"", {"local"}, nullptr, ColumnType::text, true, kAddress},
                 {"", {"remote"}, nullptr, ColumnType::text, true, kAddress},
                 {"OWNER", {"process", "pid", "fd"}, owner, ColumnType::text, true}};
  return view_command(
      "ss", "sockets", "sockets and who owns them", std::move(shape),
      "The view \"sockets\": all protocols, in every network namespace. OWNER is the first owner's "
      "name[pid]:descriptor; --columns owners lists all.",
      {"vitrine ss web1", "vitrine ss web1 --sort state"});
}

Command maps_command() {
  constexpr unsigned kRange = 25;  // "7ffe7fd68000-7ffe7fd89000"
  Shape shape = {{"", {"pid"}},
                 {"RANGE", {"start", "end"}, range, ColumnType::text, false, kRange},
                 {"PERM", {"permissions"}},
                 {"", {"size"}},
                 {"", {"path"}, nullptr, ColumnType::text, true}};
  return view_command("maps", "maps", "memory maps of processes", std::move(shape),
                      "The view \"maps\".", {"vitrine maps web1 --pid 1"});
}

Command mounts_command() {
  Shape shape = {{"", {"mount_point"}, nullptr, ColumnType::text, true},
                 {"", {"source"}},
                 {"", {"type"}},
                 {"", {"options"}},
                 {"", {"mnt_ns"}}};
  return view_command("mounts", "mounts", "mounted file systems", std::move(shape),
                      "The view \"mounts\": what is mounted where, in every mount namespace.",
                      {"vitrine mounts web1"});
}

Command show_command() {
  return {.name = "show",
          .group = "Look",
          .summary = "any view, by name",
          .operands = {{"VIEW", Words::view}, {"VM", Words::machine}},
          .options = view_options(),
          .description =
              "Prints a view's own columns. `vitrine views` lists the views, "
              "`vitrine views NAME` its columns.",
          .examples = {"vitrine show interfaces web1", "vitrine show syscall_table web1 --json"},
          .run = [](Context& context, const Arguments& words) {
            return run_view(words.operands.front(), {}, context, words);
          }};
}

}  // namespace vitrine::cli
