// A process's row: who it is and where it may look: credentials, namespaces, control groups.
#include <fmt/core.h>

#include "linux/tasks_row.h"
#include "linux/views/processes_row.h"
#include "linux/walk/walk.h"

namespace vitrine::linux::processes {
namespace {

constexpr std::uint32_t kMaxGroups = 65'536;      // NGROUPS_MAX
constexpr std::uint32_t kMaxNamespaceLevel = 32;  // MAX_PID_NS_LEVEL

}  // namespace

void ProcessRow::fill_credentials(RowSink& rows) {
  if (!rows.wants_any(kUid, kEuid, kSuid, kFsuid, kGid, kEgid, kSgid, kFsgid, kGroups, kNsUser,
                      kCapInheritable, kCapPermitted, kCapEffective, kCapBounding, kCapAmbient)) {
    return;
  }
  const auto cred = f_.real_cred.read(task_);
  if (!cred || !is_kernel_pointer(*cred) || !cred_.load(memory_, *cred)) {
    rows.doubt("its credentials cannot be read");
    return;
  }
  rows.set(kUid, integer_value(f_.uid.read(cred_)));
  rows.set(kEuid, integer_value(f_.euid.read(cred_)));
  rows.set(kSuid, integer_value(f_.suid.read(cred_)));
  rows.set(kFsuid, integer_value(f_.fsuid.read(cred_)));
  rows.set(kGid, integer_value(f_.gid.read(cred_)));
  rows.set(kEgid, integer_value(f_.egid.read(cred_)));
  rows.set(kSgid, integer_value(f_.sgid.read(cred_)));
  rows.set(kFsgid, integer_value(f_.fsgid.read(cred_)));
  if (rows.wants(kNsUser)) rows.set(kNsUser, integer_value(f_.ns_user.read(memory_, cred_)));
  // Two 32-bit halves up to 6.2, one u64 since (f122a08b197d): the same bytes.
  const auto capability = [&](ColumnIndex column, const Embedded& field) {
    const auto bytes = cred_.bytes(field.offset().value_or(0), 8);
    if (bytes && field.size() == 8) rows.set(column, *load<std::uint64_t>(*bytes, 0));
  };
  capability(kCapInheritable, f_.cap_inheritable);
  capability(kCapPermitted, f_.cap_permitted);
  capability(kCapEffective, f_.cap_effective);
  capability(kCapBounding, f_.cap_bounding);
  capability(kCapAmbient, f_.cap_ambient);
  if (rows.wants(kGroups)) fill_groups(rows);
}

void ProcessRow::fill_groups(RowSink& rows) {
  const auto groups = [&]() -> Result<std::vector<std::string>> {
    const auto info = TRY(f_.group_info.read(cred_));
    const auto count = TRY(f_.group_count.read(memory_, info));
    if (count < 0 || static_cast<std::uint32_t>(count) > kMaxGroups) {
      return fail(Errc::implausible, info.value, "group_info.ngroups");
    }
    std::vector<std::uint32_t> numbers(static_cast<std::size_t>(count));
    TRY(memory_.read(f_.group_ids.in(info), std::as_writable_bytes(std::span(numbers))));
    std::vector<std::string> words;
    words.reserve(numbers.size());
    for (const auto number : numbers) words.push_back(fmt::format("{}", number));
    return words;
  }();
  if (groups) {
    rows.set(kGroups, *groups);
  } else {
    rows.doubt("its groups cannot be read");
  }
}

void ProcessRow::fill_namespaces(RowSink& rows) {
  if (rows.wants_any(kNsPid, kNsPids)) fill_pid_namespaces(rows);
  if (!rows.wants_any(kNsMnt, kNsUts, kNsIpc, kNsPidForChildren, kNsNet, kNsCgroup, kNsTime,
                      kNsTimeForChildren)) {
    return;
  }
  const auto nsproxy = f_.nsproxy.read(task_);
  if (!nsproxy || !*nsproxy) return;  // given up at exit
  if (!is_kernel_pointer(*nsproxy) || !nsproxy_.load(memory_, *nsproxy)) {
    rows.doubt("its namespaces cannot be read");
    return;
  }
  const auto number = [&](ColumnIndex column, const auto& field) {
    if (rows.wants(column)) rows.set(column, integer_value(field.read(memory_, nsproxy_)));
  };
  number(kNsMnt, f_.ns_mnt);
  number(kNsUts, f_.ns_uts);
  number(kNsIpc, f_.ns_ipc);
  number(kNsPidForChildren, f_.ns_pid_for_children);
  number(kNsNet, f_.ns_net);
  number(kNsCgroup, f_.ns_cgroup);
  number(kNsTime, f_.ns_time);
  number(kNsTimeForChildren, f_.ns_time_for_children);
}

void ProcessRow::fill_pid_namespaces(RowSink& rows) {
  const auto done = [&]() -> Result<void> {
    const auto pid = TRY(f_.thread_pid.read(task_));
    if (!pid) return {};  // reaped
    const auto level = TRY(f_.pid_level.read(memory_, pid));
    if (level > kMaxNamespaceLevel) return fail(Errc::implausible, pid.value, "pid.level");
    std::vector<std::string> numbers;
    for (std::uint32_t i = 0; i <= level; ++i) {
      const Gva place = f_.pid_numbers.element(pid, i);
      numbers.push_back(fmt::format("{}", TRY(f_.upid_number.read(memory_, place))));
    }
    rows.set(kNsPids, std::move(numbers));
    const auto space = TRY(f_.upid_ns.read(memory_, f_.pid_numbers.element(pid, level)));
    rows.set(kNsPid, integer_value(f_.ns_number.read(memory_, space)));
    return {};
  }();
  if (!done) rows.doubt("its pid namespaces cannot be read");
}

void ProcessRow::fill_cgroups(RowSink& rows) {
  if (!cgroups_ || !rows.wants_any(kCgroup, kCgroups)) return;
  const auto set = f_.cgroups.read(task_);
  if (!set || !*set || !**set) return;
  if (rows.wants(kCgroup)) {
    auto path = cgroups_->unified(**set);
    if (!path) rows.doubt("its control group cannot be read");
    rows.set(kCgroup, text_value(std::move(path)));
  }
  if (rows.wants(kCgroups)) {
    if (auto all = cgroups_->all(**set)) rows.set(kCgroups, *std::move(all));
  }
}

}  // namespace vitrine::linux::processes
