#include "probe/polling/told_process.h"

#include <string_view>

#include "linux/views/processes_columns.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

namespace columns = linux::processes;

struct Row {
  std::string_view group, name;
  std::size_t column;
};
constexpr Row kRows[] = {
    {"process", "pid", columns::kPid},
    {"process", "tgid", columns::kTgid},
    {"process", "ppid", columns::kPpid},
    {"process", "name", columns::kName},
    {"process", "path", columns::kPath},
    {"process", "cmdline", columns::kCmdline},
    {"process", "uid", columns::kUid},
    {"process", "euid", columns::kEuid},
    {"process", "gid", columns::kGid},
    {"process", "egid", columns::kEgid},
    {"process", "cgroup", columns::kCgroup},
    {"process", "pid_namespace", columns::kNsPid},
    {"process", "mount_namespace", columns::kNsMnt},
    {"process", "network_namespace", columns::kNsNet},
    {"process", "user_namespace", columns::kNsUser},
    {"process", "session", columns::kSession},
    {"process", "tty", columns::kTty},
    {"process", "start_time", columns::kStarted},
    {"process", "kernel_thread", columns::kKernelThread},
    {"process", "task", columns::kAddress},
    {"thread", "tid", columns::kPid},
    {"thread", "name", columns::kName},
    {"thread", "task", columns::kAddress},
};

}  // namespace

std::optional<std::size_t> column_of_moment(unsigned i) {
  if (i >= vmipl::moments().size()) return std::nullopt;
  const auto& moment = vmipl::moments()[i];
  for (const auto& row : kRows) {
    if (row.group == moment.group && row.name == moment.name) return row.column;
  }
  return std::nullopt;
}

Told moment_of(const LookedProcess& process, unsigned i) {
  const auto column = column_of_moment(i);
  if (!column) return {};
  if (*column >= process.values.size()) return Told::none();
  const auto& value = process.values[*column];
  if (const auto* number = std::get_if<std::int64_t>(&value))
    return Told::of(static_cast<std::uint64_t>(*number));
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return Told::of(*number);
  if (const auto* truth = std::get_if<bool>(&value))
    return Told::of(std::uint64_t{*truth ? 1U : 0U});
  if (const auto* text = std::get_if<std::string>(&value)) return Told::of(std::string_view(*text));
  return Told::none();
}

}  // namespace vitrine::probe
