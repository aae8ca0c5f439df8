#include "probe/polling/looker.h"

#include <time.h>

#include <algorithm>

#include "linux/modules.h"
#include "linux/type_catalogue.h"
#include "linux/views/processes_columns.h"

namespace vitrine::probe {
namespace {

namespace columns = linux::processes;

class Collector final : public linux::RowSink {
 public:
  Collector(const linux::Query& query, std::vector<LookedProcess>& into)
      : RowSink(columns::kInfo, query), into_(into) {}

 private:
  static std::int64_t number(const linux::Value& value) {
    if (const auto* n = std::get_if<std::int64_t>(&value)) return *n;
    if (const auto* n = std::get_if<std::uint64_t>(&value)) return static_cast<std::int64_t>(*n);
    return 0;
  }
  bool row(std::span<const linux::Value> values, std::string_view) override {
    auto& process = into_.emplace_back();
    process.pid = number(values[columns::kPid]);
    process.parent = number(values[columns::kPpid]);
    process.address = static_cast<std::uint64_t>(number(values[columns::kAddress]));
    process.start_time = number(values[columns::kStartTime]);
    const auto* state = std::get_if<std::string>(&values[columns::kState]);
    process.ended = state != nullptr && (*state == "Z" || *state == "X");
    if (const auto* code = std::get_if<std::int64_t>(&values[columns::kExitCode]);
        code != nullptr && process.ended)
      process.exit_code = *code;
    process.values.assign(values.begin(), values.end());
    return true;
  }
  std::vector<LookedProcess>& into_;
};

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Outcome<Looker> Looker::open(linux::Kernel& kernel, LookFor wanted) {
  Looker looker(kernel);
  looker.query_.wanted.assign(columns::kColumnCount, false);
  for (std::size_t i = 0; i < wanted.columns.size() && i < columns::kColumnCount; ++i)
    looker.query_.wanted[i] = wanted.columns[i];
  for (const auto column : {columns::kPid, columns::kPpid, columns::kAddress, columns::kStartTime,
                            columns::kState, columns::kExitCode}) {
    looker.query_.wanted[column] = true;
  }
  looker.wanted_ = std::move(wanted);
  if (looker.wanted_.processes) {
    looker.processes_ = TRY(linux::find_view("processes")->open(kernel));
    // 32 bits until 5.7 (commit d1e7fd6462ca), 64 since. Without it no exec is seen.
    linux::FieldBinder narrow(kernel.types());
    narrow(looker.exec_id_32_, "task_struct.self_exec_id");
    if (!narrow.done()) {
      looker.exec_id_32_ = {};
      linux::FieldBinder wide(kernel.types());
      wide(looker.exec_id_64_, "task_struct.self_exec_id");
      if (!wide.done()) looker.exec_id_64_ = {};
    }
    if (const auto at = kernel.symbol("total_forks")) looker.total_forks_ = *at;
  }
  return looker;
}

Outcome<Look> Looker::look() {
  kernel_->refresh();
  Look look;
  look.monotonic_ns = monotonic_ns();
  if (wanted_.processes) {
    Collector rows(query_, look.processes);
    const auto tally = TRY(processes_->read(rows));
    look.whole = !tally.truncated && tally.dropped == 0;
    std::sort(look.processes.begin(), look.processes.end(),
              [](const LookedProcess& a, const LookedProcess& b) { return a.pid < b.pid; });
    for (auto& process : look.processes) {
      const Gva task{process.address};
      if (exec_id_64_.bound()) {
        if (const auto id = exec_id_64_.read(kernel_->memory(), task)) process.exec_id = *id;
      } else if (exec_id_32_.bound()) {
        if (const auto id = exec_id_32_.read(kernel_->memory(), task)) process.exec_id = *id;
      }
    }
    if (total_forks_) {
      std::uint64_t count = 0;
      if (kernel_->memory().read(*total_forks_, writable_bytes_of(count))) look.forks = count;
    }
  }
  if (wanted_.modules) {
    const auto list = TRY(linux::read_modules(*kernel_));
    look.whole = look.whole && !list.truncated && list.warnings.empty();
    for (const auto& module : list.modules) {
      // One that is still being loaded is told when it is there; one that goes is still there.
      if (module.state == linux::ModuleState::coming ||
          module.state == linux::ModuleState::unformed)
        continue;
      look.modules.push_back({module.name, module.address.value, module.core.value, module.size});
    }
  }
  return look;
}

}  // namespace vitrine::probe
