#include "linux/self_test.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "linux/field.h"
#include "linux/system_ram.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

using Check = Health::Check;
using enum Health::Verdict;

constexpr std::size_t kMaxTasks = 1'000'000;

Check verdict(std::string name, bool ok, std::string detail) {
  return {std::move(name), ok ? passed : failed, std::move(detail)};
}

/// `symbols` are not in kallsyms: where that has no variables at all, nobody can know.
Check without(const Kernel& kernel, std::string name, std::string_view symbols) {
  if (!kernel.lists_data())
    return {std::move(name), not_known, fmt::format("kallsyms has no data: no {}", symbols)};
  return {std::move(name), failed, fmt::format("no symbol {}", symbols)};
}

struct TaskFields {
  Field<std::string> comm;
  Field<std::int32_t> pid;
  Field<Gva> next;
  Embedded tasks;

  static Outcome<TaskFields> from(const TypeCatalogue& types) {
    TaskFields fields;
    FieldBinder bind(types);
    bind(fields.comm, "task_struct.comm");
    bind(fields.pid, "task_struct.pid");
    bind(fields.next, "task_struct.tasks.next");
    bind(fields.tasks, "task_struct.tasks");
    TRY(bind.done());
    return fields;
  }
};

Check check_init_task(const Kernel& kernel, const TaskFields& fields, Gva init_task) {
  const auto name = fields.comm.read(kernel.memory(), init_task);
  if (!name) return {"init_task", failed, describe(name.error())};
  return verdict("init_task", name->starts_with("swapper"), *name);
}

/// Walks the task list once around. It changes while we walk: a try that leads
/// astray is made again.
Check check_task_list(const Kernel& kernel, const TaskFields& fields, Gva init_task) {
  constexpr int kTries = 5;
  std::unordered_set<Gva> seen;
  Check check{"task list", failed, ""};
  for (int tried = 0; tried < kTries && check.verdict == failed; ++tried) {
    seen.clear();
    Gva task = init_task;
    check.detail = "does not close";
    while (seen.insert(task).second && seen.size() < kMaxTasks) {
      const auto next = fields.next.read(kernel.memory(), task);
      if (!next) {
        check.detail =
            fmt::format("breaks off after {} tasks: {}", seen.size(), describe(next.error()));
        break;
      }
      task = fields.tasks.owner(*next);
      if (task == init_task) {
        check.verdict = passed;
        check.detail = fmt::format("{} processes, closed", seen.size() - 1);
      }
    }
  }
  return check;
}

/// The task each CPU runs: `current_task`, in 6.2 to 6.14 the first member of `pcpu_hot`.
Check check_current(const Kernel& kernel, const TaskFields& fields) {
  constexpr const char* kName = "current tasks";
  auto variable = kernel.symbols().find("current_task");
  if (!variable) variable = kernel.symbols().find("pcpu_hot");
  if (!variable) return without(kernel, kName, "current_task, pcpu_hot");
  unsigned online = 0;
  std::string wrong;
  for (unsigned cpu = 0; cpu < kernel.cpu_count(); ++cpu) {
    const auto at = kernel.per_cpu(*variable, cpu);
    if (!at) continue;
    const auto task = kernel.memory().load<std::uint64_t>(*at);
    // A CPU that is possible but was never started has none.
    if (!task || *task == 0) continue;
    const auto pid = fields.pid.read(kernel.memory(), Gva{*task});
    const auto name = fields.comm.read(kernel.memory(), Gva{*task});
    ++online;
    if (pid && name && *pid >= 0) continue;
    wrong += fmt::format("cpu {}: no task at {:#x}; ", cpu, *task);
  }
  if (!wrong.empty()) return {kName, failed, wrong};
  return verdict(kName, online > 0, fmt::format("{} CPU{}", online, online == 1 ? "" : "s"));
}

/// The last page of RAM that the kernel has, and where what it has does not lie in our map.
struct KernelRam {
  Gpa last;
  std::optional<Gpa> outside;
};

/// By its resources; by max_pfn, which never goes back when memory is unplugged, where they cannot
/// be had.
std::optional<KernelRam> ram_of_kernel(const Kernel& kernel) {
  const auto in_map = [&](Gpa at) {
    return std::ranges::any_of(kernel.ram().ram(),
                               [&](const GpaRange& range) { return range.contains(at); });
  };
  const auto told = read_system_ram(kernel);
  if (told) {
    KernelRam ram{told->back().end() - kPageSize, std::nullopt};
    for (const auto& range : *told) {
      for (const Gpa at : {range.start, range.end() - 1}) {
        if (!in_map(at) && !ram.outside) ram.outside = at;
      }
    }
    return ram;
  }
  const auto symbol = kernel.symbols().find("max_pfn");
  const auto pages =
      symbol ? kernel.memory().load<std::uint64_t>(*symbol) : Result<std::uint64_t>(0);
  if (!pages || *pages == 0) return std::nullopt;
  const Gpa last{(*pages - 1) * kPageSize};
  return KernelRam{last, in_map(last) ? std::nullopt : std::optional(last)};
}

/// All RAM that the kernel has must be RAM in our map, and that must end soon after its last page.
/// (What an image holds further up is firmware; what another backend holds there is an NVDIMM, or a
/// DIMM that the kernel has not taken yet.)
Check check_memory(const Kernel& kernel) {
  constexpr const char* kName = "memory map";
  constexpr std::uint64_t kKeptByFirmware = 64 * kMiB;  // at the end of RAM, at most
  const auto ram = ram_of_kernel(kernel);
  if (!ram && kernel.symbols().find("max_pfn")) return {kName, failed, "max_pfn cannot be read"};
  if (!ram) return without(kernel, kName, "iomem_resource, max_pfn");
  if (ram->outside) {
    return {kName, failed,
            fmt::format("the kernel has RAM at {:#x}, our map has not", ram->outside->value)};
  }
  const Gpa last = ram->last;
  std::optional<Gpa> end;
  for (const auto& range : kernel.ram().ram()) {
    if (range.contains(last)) end = range.end();
  }
  if (!end)
    return {kName, failed, fmt::format("the kernel's last page, {:#x}, is not RAM", last.value)};
  return verdict(
      kName, *end - last <= kKeptByFirmware,
      fmt::format("the kernel's last page is {:#x}, RAM ends at {:#x}", last.value, end->value));
}

}  // namespace

void run_self_test(const Kernel& kernel, Health& health) {
  health.checks.push_back(check_memory(kernel));
  if (!kernel.has_types()) {
    // Where BTF stands is named by the kernel that has it: then it is what does not parse.
    const bool carried = kernel.symbols().find("__start_BTF").has_value();
    health.checks.push_back(
        carried ? Check{"types", failed, "this kernel's BTF cannot be read"}
                : Check{"types", not_known,
                        "this kernel has no BTF: views of structures cannot be had"});
    return;
  }
  health.checks.push_back({"types", passed, "BTF"});
  const auto fields = TaskFields::from(kernel.types());
  const auto init_task = kernel.symbols().find("init_task");
  if (!fields) {
    health.checks.push_back({"init_task", failed, fields.error().message});
    return;
  }
  if (!init_task) {
    health.checks.push_back(without(kernel, "init_task", "init_task"));
    return;
  }
  health.checks.push_back(check_init_task(kernel, *fields, *init_task));
  health.checks.push_back(check_task_list(kernel, *fields, *init_task));
  health.checks.push_back(check_current(kernel, *fields));
}

}  // namespace vitrine::linux
