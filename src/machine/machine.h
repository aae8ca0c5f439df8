// Machine: one target, live or an image, behind one interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "memory/physical_memory.h"
#include "x86/registers.h"

namespace vitrine {

struct QemuProcess;

/// How a machine's memory map was come by.
enum class MapSource : std::uint8_t {
  told,      ///< by QEMU itself, or by the image's own headers
  verified,  ///< inferred, and the firmware's e820 table agrees
  inferred,  ///< from the command line or the file's size alone: check it against the
             ///< kernel's e820_table_firmware (machine/memory_layout.h: compare_map)
};

/// What a machine is asked of. Opened by machine/open.h; a live QEMU, an image and
/// the lab machine of the tests are the kinds there are.
class Machine {
 public:
  Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  virtual ~Machine() = default;

  /// What people call it: "web1", "memory.lime".
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  [[nodiscard]] virtual bool live() const noexcept = 0;
  [[nodiscard]] virtual const PhysicalMemory& memory() const noexcept = 0;
  /// Asks again where RAM lies, for a DIMM that was plugged or taken since. memory() stays the
  /// object that it was, and shows it; its windows of before the last call but one are gone. Call
  /// it when nobody reads.
  /// @returns false  nothing has changed, or this machine cannot tell (an image, no monitor, RAM
  /// that
  ///   is read through the monitor alone)
  /// @returns timeout, vanished, protocol, denied
  /// Cost: as opening the machine.
  [[nodiscard]] virtual Outcome<bool> follow_memory() const { return false; }

  /// The registers of every virtual CPU, in order, as of now. The guest is not
  /// stopped for it: under load, two CPUs are not of one moment.
  /// @returns unsupported  this machine has none (raw image, no QMP socket)
  /// @returns timeout, vanished, protocol  the monitor did not answer
  /// Cost: a monitor round trip (about 1 ms), live; nothing for images.
  [[nodiscard]] virtual Outcome<std::vector<x86::Registers>> registers() const = 0;

  /// How far the memory map is to be trusted.
  [[nodiscard]] virtual MapSource map_source() const noexcept { return MapSource::told; }
  /// Where the map is not told: every reading of the same RAM, a sentence each, the
  /// likeliest first. OpenOptions::layout chooses one by its place here.
  [[nodiscard]] virtual std::vector<std::string> layouts() const { return {}; }

  /// The QEMU behind a live machine; null for images. Whoever is permitted to change the machine
  /// (Monitor, GuestControl) starts from it.
  [[nodiscard]] virtual const QemuProcess* process() const noexcept { return nullptr; }

  /// Where the kernel's image lies, if the target itself says so (VMCOREINFO in an
  /// ELF core); never trusted without verification.
  [[nodiscard]] virtual std::optional<std::string> vmcoreinfo() const { return std::nullopt; }

  /// How the machine was reached, a sentence each: "RAM: shared mapping of /memfd:ram (1 GiB)".
  [[nodiscard]] virtual std::vector<std::string> notes() const = 0;
  /// What is less than it should be, a sentence each: "no QMP socket: the memory map is inferred
  /// ...".
  [[nodiscard]] virtual std::vector<std::string> warnings() const = 0;

  /// False once the process is gone or the image's file has shrunk. Cheap: no guest access.
  [[nodiscard]] virtual bool alive() const noexcept = 0;
};

}  // namespace vitrine
