// A microVM's inputs: ivshmem devices, found among the PCI devices that sysfs shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "fvm/sensor/assigned_machine.h"

namespace vitrine::fvm {

struct Bar {
  unsigned bus = 0;
  std::string path;  ///< ".../resource2"
  std::uint64_t size = 0;
};

/// The memory BARs of all ivshmem devices, by bus. Bus 0 has the control page; what comes later
/// sits behind root ports, a bus each, in the order of their numbers.
[[nodiscard]] std::vector<Bar> ivshmem_bars(const std::string& devices = "/sys/bus/pci/devices");

/// The port of our verdict channel ("/dev/vport0p1"), by the name that its device was given.
[[nodiscard]] std::optional<std::string> verdict_port(
    const std::string& ports = "/sys/class/virtio-ports");

}  // namespace vitrine::fvm
