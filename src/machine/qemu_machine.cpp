#include "machine/qemu_machine.h"

#include <fmt/format.h>

#include <chrono>

#include "machine/confidential.h"
#include "machine/inferred_ram.h"
#include "machine/monitor_memory.h"
#include "machine/own_monitor.h"
#include "machine/qemu_ram.h"
#include "machine/qmp.h"
#include "machine/run_state.h"
#include "memory/followed_memory.h"

namespace vitrine {
namespace {

constexpr std::string_view kLibvirtHolds =
    "; libvirt holds it: a second one gives the registers (<qemu:commandline>, -qmp "
    "unix:PATH,server=on,wait=off)";

struct Reached {
  ReachedRam ram;
  std::vector<HostRange> ranges;  ///< as the monitor told them; empty: it did not
  MapSource map_source = MapSource::told;
  std::vector<std::string> layouts;
  std::vector<std::string> warnings;
  std::optional<QmpEndpoint> monitor;           ///< to be asked for registers
  std::optional<Problem> missed;                ///< why it did not answer when RAM was reached
  const MonitorMemory* held_monitor = nullptr;  ///< `ram`, where it holds the monitor itself
};

Problem gone(const QemuProcess& process) {
  return {Errc::vanished, fmt::format("{} (pid {}) is gone", process.name(), process.pid)};
}

class QemuMachine final : public Machine {
 public:
  QemuMachine(QemuProcess process, Reached reached)
      : process_(std::move(process)),
        name_(process_.name()),
        reached_(std::move(reached)),
        memory_(std::move(reached_.ram.memory)) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] bool live() const noexcept override { return true; }
  [[nodiscard]] const QemuProcess* process() const noexcept override { return &process_; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return memory_; }
  [[nodiscard]] std::vector<std::string> notes() const override { return reached_.ram.notes; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return reached_.warnings; }
  [[nodiscard]] bool alive() const noexcept override { return still_runs(process_); }
  [[nodiscard]] MapSource map_source() const noexcept override { return reached_.map_source; }
  [[nodiscard]] std::vector<std::string> layouts() const override { return reached_.layouts; }

  [[nodiscard]] Outcome<bool> follow_memory() const override {
    if (reached_.ranges.empty()) return false;
    auto qmp = TRY(connect_to(process_, *reached_.monitor));
    auto ranges = TRY(ask_memory_map(*qmp));
    if (ranges == reached_.ranges) return false;
    auto ram = TRY(reach_ram(process_.pid, ranges));
    if (!alive()) return std::unexpected(gone(process_));
    memory_.follow(std::move(ram.memory));
    reached_.ranges = std::move(ranges);
    return true;
  }

  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    if (reached_.held_monitor != nullptr) {
      const auto text = TRY(reached_.held_monitor->human(kQuestion));
      return parse_registers(text);
    }
    if (!reached_.monitor) {
      return std::unexpected(Problem(alive() ? Errc::unsupported : Errc::vanished,
                                     "registers need a QMP socket, and there is none to use"));
    }
    // Who was busy a moment ago keeps us waiting again.
    if (reached_.missed && std::chrono::steady_clock::now() - opened_ < kStillBusy)
      return std::unexpected(*reached_.missed);
    auto qmp = TRY(connect_to(process_, *reached_.monitor));
    const auto text = TRY(qmp->human(kQuestion));
    return parse_registers(text);
  }

 private:
  static constexpr std::string_view kQuestion = "info registers -a";
  static constexpr std::chrono::seconds kStillBusy{2};

  QemuProcess process_;
  std::string name_;
  mutable Reached reached_;  // what is known of the machine follows it
  mutable FollowedMemory memory_;
  std::chrono::steady_clock::time_point opened_ = std::chrono::steady_clock::now();
};

/// With a monitor that answers: the map as told, the RAM from the process, or through the
/// monitor if the process is closed to us.
Outcome<Reached> reach_with_monitor(const QemuProcess& process, std::unique_ptr<Qmp> qmp,
                                    const QmpEndpoint& endpoint) {
  const auto ranges = TRY(ask_memory_map(*qmp));
  const auto told =
      fmt::format("memory map: told by QEMU {} over {}", qmp->version(), endpoint.shown);
  Reached reached;
  if (const auto state = ask_run_state(*qmp)) {
    if (const auto doubt = doubt_of_run_state(*state); !doubt.empty())
      reached.warnings.emplace_back(doubt);
  }
  if (auto ram = reach_ram(process.pid, ranges)) {
    reached.ram = std::move(*ram);
    reached.ranges = ranges;
    reached.monitor = endpoint;
  } else if (ram.error().code == Errc::denied) {
    std::vector<MapSegment> segments;
    for (const auto& range : ranges) segments.push_back({range.range, 0, range.range.start.value});
    auto memory = std::make_unique<MonitorMemory>(std::move(qmp),
                                                  TRY(MemoryMap::create(std::move(segments))));
    reached.held_monitor = memory.get();
    reached.ram.memory = std::move(memory);
    reached.ram.notes.push_back("RAM: through the QMP monitor alone, byte for byte as text");
    reached.warnings.push_back(
        fmt::format("{}: RAM is read through the monitor, which is slow and keeps other clients "
                    "off it; {}",
                    ram.error().message, ram.error().hint));
  } else {
    return std::unexpected(ram.error());
  }
  reached.ram.notes.insert(reached.ram.notes.begin(), told);
  return reached;
}

Outcome<Reached> reach_without_monitor(const QemuProcess& process, std::size_t layout) {
  auto inferred = TRY(reach_inferred_ram(process.pid, process.options, layout));
  Reached reached;
  reached.ram = std::move(inferred.ram);
  reached.map_source = inferred.source;
  reached.layouts = std::move(inferred.layouts);
  reached.warnings = std::move(inferred.warnings);
  reached.ram.notes.insert(reached.ram.notes.begin(), "memory map: inferred, without a monitor");
  return reached;
}

}  // namespace

Outcome<std::unique_ptr<Machine>> open_qemu(const QemuProcess& process, QemuOpenOptions options) {
  if (!process.architecture.empty() && process.architecture != "x86_64" &&
      process.architecture != "i386") {
    return std::unexpected(
        Problem(Errc::unsupported, fmt::format("{} is a {} machine; only x86 guests are read",
                                               process.name(), process.architecture)));
  }
  if (const auto support = confidential_support(process.options); !support.empty()) {
    return std::unexpected(
        Problem(Errc::unsupported,
                fmt::format("{} is a confidential guest ({}): its memory is encrypted or kept from "
                            "the host, and cannot be read from outside",
                            process.name(), support)));
  }
  std::vector<std::string> missed = process.unreachable_monitors;
  std::optional<Problem> first_missed;
  for (const auto& endpoint : process.monitors) {
    if (!options.use_monitor) break;
    auto qmp = connect_to(process, endpoint);
    auto reached =
        qmp ? reach_with_monitor(process, std::move(*qmp), endpoint) : std::unexpected(qmp.error());
    // The pid was this process's all along.
    if (!still_runs(process)) return std::unexpected(gone(process));
    if (reached) {
      reached->warnings.insert(reached->warnings.end(), missed.begin(), missed.end());
      return std::make_unique<QemuMachine>(process, std::move(*reached));
    }
    if (!first_missed) first_missed = reached.error();
    missed.push_back(reached.error().message);
    if (reached.error().code == Errc::timeout && process.options.of_libvirt)
      missed.back() += kLibvirtHolds;
  }
  auto reached = reach_without_monitor(process, options.layout);
  if (!still_runs(process)) return std::unexpected(gone(process));
  if (!reached) return std::unexpected(std::move(reached.error()));
  // It may be busy now and free later.
  if (options.use_monitor && !process.monitors.empty()) {
    reached->monitor = process.monitors.front();
    reached->missed = std::move(first_missed);
  }
  // No warning: what needs registers says so by itself.
  if (process.monitors.empty()) reached->ram.notes.emplace_back("it has no QMP socket");
  reached->warnings.insert(reached->warnings.end(), missed.begin(), missed.end());
  return std::make_unique<QemuMachine>(process, std::move(*reached));
}

}  // namespace vitrine
