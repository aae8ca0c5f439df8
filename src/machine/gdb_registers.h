// Where a gdbstub keeps which register: read off the description that it gives of itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "x86/registers.h"

namespace vitrine {

class GdbRegisters {
 public:
  /// @param features  the XML of each feature, in the order of the target's description
  /// @returns malformed  a register without name or size; no rip
  /// @returns too_large  more than 4096 registers
  /// Source: "Target Descriptions" in gdb's manual; QEMU's gdb-xml/i386-64bit.xml.
  [[nodiscard]] static Result<GdbRegisters> parse(const std::vector<std::string>& features);

  /// The files that target.xml includes.
  [[nodiscard]] static std::vector<std::string> includes(std::string_view target);

  /// What a `g` packet says. Segment registers have selectors and, for FS and GS, bases; the rest
  /// of their hidden parts and the table registers are not in it.
  /// @returns out_of_bounds  the packet is too short for rip
  [[nodiscard]] Result<x86::Registers> decode(Bytes packet) const;

  /// By its name in the language: "rax", "rflags", "fs_base".
  struct Place {
    unsigned number = 0;       ///< in p and P packets
    std::uint32_t offset = 0;  ///< bytes, in a g packet
    std::uint32_t size = 0;    ///< bytes
  };
  [[nodiscard]] std::optional<Place> find(std::string_view name) const;
  [[nodiscard]] std::size_t size_bytes() const { return size_; }

 private:
  struct Named {
    std::string name;
    Place place;
  };
  [[nodiscard]] std::uint64_t value(Bytes packet, std::string_view name) const;
  std::vector<Named> all_;
  std::size_t size_ = 0;
};

}  // namespace vitrine
