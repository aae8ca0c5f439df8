#include "probe/polling/look.h"

#include <algorithm>

namespace vitrine::probe {
namespace {

const LookedProcess* find(const std::vector<LookedProcess>& processes, std::int64_t pid) {
  const auto at =
      std::lower_bound(processes.begin(), processes.end(), pid,
                       [](const LookedProcess& p, std::int64_t wanted) { return p.pid < wanted; });
  return at == processes.end() || at->pid != pid ? nullptr : &*at;
}

bool has(const std::vector<LookedModule>& modules, const LookedModule& module) {
  return std::any_of(modules.begin(), modules.end(),
                     [&](const LookedModule& other) { return other.same(module); });
}

bool began_with_exec(const LookedProcess& process, const Look& after) {
  if (!process.exec_id) return false;
  const auto* parent = find(after.processes, process.parent);
  return parent != nullptr && parent->exec_id && *parent->exec_id != *process.exec_id;
}

}  // namespace

std::vector<Change> changes(const Look& before, const Look& after) {
  std::vector<Change> out, starts, execs;
  for (const auto& old : before.processes) {
    if (old.ended) continue;  // was told when it ended
    const auto* now = find(after.processes, old.pid);
    if (now != nullptr && now->same(old)) {
      if (now->ended) out.push_back({Change::process_exit, now, nullptr});
    } else if (now != nullptr || after.whole) {
      out.push_back({Change::process_exit, &old, nullptr});
    }
  }
  for (const auto& now : after.processes) {
    const auto* old = find(before.processes, now.pid);
    if (old != nullptr && old->same(now)) {
      if (old->exec_id && now.exec_id && *old->exec_id != *now.exec_id)
        execs.push_back({Change::process_exec, &now, nullptr});
      continue;
    }
    // The look before was not whole: it may have been there.
    if (old == nullptr && !before.whole) continue;
    starts.push_back({Change::process_start, &now, nullptr});
    if (began_with_exec(now, after)) execs.push_back({Change::process_exec, &now, nullptr});
    if (now.ended) execs.push_back({Change::process_exit, &now, nullptr});
  }
  std::stable_sort(starts.begin(), starts.end(), [](const Change& a, const Change& b) {
    return a.process->start_time < b.process->start_time;
  });
  out.insert(out.end(), starts.begin(), starts.end());
  out.insert(out.end(), execs.begin(), execs.end());
  if (after.whole) {
    for (const auto& old : before.modules) {
      if (!has(after.modules, old)) out.push_back({Change::module_unload, nullptr, &old});
    }
  }
  if (before.whole) {
    for (const auto& now : after.modules) {
      if (!has(before.modules, now)) out.push_back({Change::module_load, nullptr, &now});
    }
  }
  return out;
}

}  // namespace vitrine::probe
