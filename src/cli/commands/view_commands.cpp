// The commands that are one view each, in the shape people know from the guest's own tools.
#include "cli/commands/families.h"
#include "cli/view_run.h"

namespace vitrine::cli {
namespace {

Command view_command(std::string_view name, std::string_view view, std::string_view summary, Shape shape,
                     std::string_view description, std::vector<std::string_view> examples) {
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

}  // namespace

Command ps_command() {
  return view_command("ps", "processes", "processes", {},
                      "The view \"processes\": every process and kernel thread, as the guest's task list has them.",
                      {"vitrine ps web1", "vitrine ps web1 --sort -rss", "vitrine ps web1 --pid 1 --columns +env --json"});
}

Command threads_command() {
  return view_command("threads", "threads", "threads, one row each", {}, "The view \"threads\".",
                      {"vitrine threads web1 --pid 842"});
}

Command lsmod_command() {
  return view_command("lsmod", "modules", "kernel modules", {}, "The view \"modules\".",
                      {"vitrine lsmod web1"});
}

Command lsof_command() {
  return view_command("lsof", "files", "open files, by process", {}, "The view \"files\".",
                      {"vitrine lsof web1 --pid 1"});
}

Command ss_command() {
  return view_command("ss", "sockets", "sockets and who owns them", {}, "The view \"sockets\".",
                      {"vitrine ss web1", "vitrine ss web1 --sort state"});
}

Command maps_command() {
  return view_command("maps", "maps", "memory maps of processes", {}, "The view \"maps\".",
                      {"vitrine maps web1 --pid 1"});
}

Command mounts_command() {
  return view_command("mounts", "mounts", "mounted file systems", {}, "The view \"mounts\".",
                      {"vitrine mounts web1"});
}

Command show_command() {
  return {.name = "show",
          .group = "Look",
          .summary = "any view, by name",
          .operands = {{"VIEW", Words::view}, {"VM", Words::machine}},
          .options = view_options(),
          .description = "Prints a view's own columns. `vitrine views` lists the views, "
                         "`vitrine views NAME` its columns.",
          .examples = {"vitrine show interfaces web1", "vitrine show syscall_table web1 --json"},
          .run = [](Context& context, const Arguments& words) {
            return run_view(words.operands.front(), {}, context, words);
          }};
}

}  // namespace vitrine::cli
