// vitrine vms: the machines running here.
#include "cli/commands/families.h"
#include "cli/fixed_view.h"

namespace vitrine::cli {
namespace {

using linux::Column;
using linux::ColumnType;

enum : std::size_t {
  kName,
  kPid,
  kCpus,
  kMemory,
  kUser,
  kArchitecture,
  kAccelerator,
  kMonitor,
  kRam,
  kRemark
};

constexpr Column kColumns[] = {
    {"name", ColumnType::text, "-name of the machine, or qemu-PID"},
    {"pid", ColumnType::integer, "process id of its QEMU"},
    {"cpus", ColumnType::integer, "virtual CPUs"},
    {"memory", ColumnType::size, "RAM, in bytes"},
    {"user", ColumnType::text, "who runs it"},
    {"architecture", ColumnType::text, "what it emulates", Column::hidden},
    {"accelerator", ColumnType::text, "kvm or tcg", Column::hidden},
    {"monitor", ColumnType::text, "its QMP socket, if one can be reached"},
    {"ram", ColumnType::text,
     "how its RAM would be reached: shared mapping, process_vm_readv, QMP monitor", Column::hidden},
    {"remark", ColumnType::text, "why it cannot be read, or not better, and what to do"},
};

constexpr linux::ViewInfo kInfo = {"machines", "the QEMU machines running on this host", kColumns,
                                   "by pid", "pid"};

linux::Value text(const std::string& words) {
  return words.empty() ? linux::Value() : linux::Value(words);
}

linux::Value number(std::uint64_t count) {
  return count == 0 ? linux::Value() : linux::Value(static_cast<std::int64_t>(count));
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto machines = TRY(context.world.machines());
  if (machines.empty() && !words.has("--json") && !words.has("--csv")) {
    context.console.remark("no QEMU machine runs here that this user can see; try: vitrine demo");
    return Status::done;
  }
  return run_fixed_view(kInfo, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto& machine : machines) {
      rows.begin();
      rows.set(kName, machine.name);
      rows.set(kPid, machine.pid);
      rows.set(kCpus, number(machine.cpus));
      rows.set(kMemory, number(machine.memory_bytes));
      rows.set(kUser, text(machine.user));
      rows.set(kArchitecture, text(machine.architecture));
      rows.set(kAccelerator, text(machine.accelerator));
      rows.set(kMonitor, text(machine.monitor));
      rows.set(kRam, text(machine.ram));
      rows.set(kRemark, text(machine.remark));
      if (!rows.end()) break;
    }
    return {};
  });
}

}  // namespace

Command vms_command() {
  return {.name = "vms",
          .group = "Machines",
          .summary = "the machines running here",
          .options = fixed_view_options(),
          .description =
              "Lists the QEMU processes that /proc shows, by whomever they were started. "
              "Machines of other users can be listed, but reading them needs root.",
          .examples = {"vitrine vms", "vitrine vms --json"},
          .run = run};
}

}  // namespace vitrine::cli
