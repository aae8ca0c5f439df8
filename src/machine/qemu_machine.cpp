#include "machine/qemu_machine.h"

#include <fmt/format.h>

#include "machine/qemu_ram.h"
#include "machine/qmp.h"

namespace vitrine {
namespace {

class QemuMachine final : public Machine {
 public:
  QemuMachine(QemuProcess process, ReachedRam ram, std::optional<QmpEndpoint> monitor,
              std::vector<std::string> warnings)
      : process_(std::move(process)),
        name_(process_.name()),
        ram_(std::move(ram)),
        monitor_(std::move(monitor)),
        warnings_(std::move(warnings)) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] bool live() const noexcept override { return true; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return *ram_.memory; }
  [[nodiscard]] std::vector<std::string> notes() const override { return ram_.notes; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return warnings_; }
  [[nodiscard]] bool alive() const noexcept override { return still_runs(process_); }

  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    if (!monitor_) {
      return std::unexpected(Problem(Errc::unsupported, "registers need a QMP socket, and there is none to use"));
    }
    auto qmp = TRY(Qmp::connect(*monitor_));
    const auto text = TRY(qmp->human("info registers -a"));
    return parse_registers(text);
  }

 private:
  QemuProcess process_;
  std::string name_;
  ReachedRam ram_;
  std::optional<QmpEndpoint> monitor_;
  std::vector<std::string> warnings_;
};

}  // namespace

Outcome<std::unique_ptr<Machine>> open_qemu(const QemuProcess& process) {
  if (!process.architecture.empty() && process.architecture != "x86_64" && process.architecture != "i386") {
    return std::unexpected(Problem(Errc::unsupported,
                                   fmt::format("{} is a {} machine; only x86 guests are read", process.name(),
                                               process.architecture)));
  }
  std::vector<std::string> warnings;
  for (const auto& endpoint : process.monitors) {
    auto qmp = Qmp::connect(endpoint);
    if (!qmp) {
      warnings.push_back(qmp.error().message);
      continue;
    }
    const auto ranges = TRY(ask_memory_map(**qmp));
    auto ram = TRY(reach_ram(process.pid, ranges));
    ram.notes.insert(ram.notes.begin(), fmt::format("memory map: told by QEMU {} over {}", (*qmp)->version(),
                                                    endpoint.shown));
    return std::make_unique<QemuMachine>(process, std::move(ram), endpoint, std::move(warnings));
  }
  return std::unexpected(Problem(Errc::unsupported, fmt::format("{} has no QMP socket we can use", process.name())));
}

}  // namespace vitrine
