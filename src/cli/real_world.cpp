#include "cli/real_world.h"

#include "cli/attached_guest.h"
#include "machine/open.h"
#include "machine/summary.h"

namespace vitrine::cli {
namespace {

class RealWorld final : public World {
 public:
  [[nodiscard]] Outcome<std::vector<MachineEntry>> machines() const override {
    std::vector<MachineEntry> entries;
    // Their state is not asked for: a monitor serves one client at a time.
    for (auto& summary : list_machines(false)) {
      entries.push_back({.name = std::move(summary.name),
                         .pid = summary.pid,
                         .user = std::move(summary.user),
                         .architecture = std::move(summary.architecture),
                         .memory_bytes = summary.memory_bytes,
                         .cpus = summary.vcpus,
                         .accelerator = std::move(summary.accelerator),
                         .monitor = std::move(summary.monitor),
                         .ram = std::move(summary.ram),
                         .remark = std::move(summary.remark)});
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
