#include "cli/real_world.h"

#include "cli/attached_guest.h"
#include "machine/open.h"
#include "machine/qemu_process.h"

namespace vitrine::cli {
namespace {

class RealWorld final : public World {
 public:
  [[nodiscard]] Outcome<std::vector<MachineEntry>> machines() const override {
    std::vector<MachineEntry> entries;
    for (const auto& process : find_qemu_processes()) {
      MachineEntry entry{.name = process.name(),
                         .pid = process.pid,
                         .user = process.user,
                         .architecture = process.architecture,
                         .memory_bytes = process.options.memory_bytes,
                         .cpus = process.options.vcpus};
      if (!process.monitors.empty()) {
        entry.monitor = process.monitors.front().shown;
      } else if (!process.unreachable_monitors.empty()) {
        entry.remark = process.unreachable_monitors.front();
      }
      entries.push_back(std::move(entry));
    }
    return entries;
  }

  [[nodiscard]] Outcome<std::unique_ptr<Machine>> open_machine(std::string_view vm) const override {
    return vitrine::open_machine(vm);
  }

  [[nodiscard]] Outcome<std::unique_ptr<Guest>> attach(const Machine& machine,
                                                       bool cache) const override {
    return attach_guest(machine, cache);
  }

  [[nodiscard]] std::span<const linux::View* const> views() const override {
    return linux::views();
  }
};

}  // namespace

std::unique_ptr<World> real_world() { return std::make_unique<RealWorld>(); }

}  // namespace vitrine::cli
