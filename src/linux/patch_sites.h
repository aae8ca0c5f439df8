// PatchSites: the places in the kernel's code that the kernel itself changes while it runs.
//
// ftrace writes a call or a nop at each function's entry, static keys a jump or a nop, static calls
// a call, kprobes a breakpoint or a jump. The kernel keeps tables of all of them: they say what may
// change, and to what. (Alternatives, retpolines and the like are written once, while it starts.)
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/kernel_code.h"

namespace vitrine::linux {

/// There are some sixty thousand: what no two kinds have at once shares its room.
struct PatchSite {
  enum class Kind : std::uint8_t {
    ftrace,
    static_key,
    static_call,
    trampoline /* of a static call, a BPF dispatcher */,
    kprobe
  };
  Gva at;
  std::uint32_t detail = 0;  ///< see jump_to(), copy()
  Kind kind = Kind::ftrace;
  std::uint8_t size = 5;    ///< bytes that may change
  std::uint8_t opcode = 0;  ///< kprobe: the byte that stood there

  /// static_key: where its jump leads, within 2 GiB as every jump.
  [[nodiscard]] Gva target() const {
    return at + static_cast<std::uint64_t>(std::int64_t{std::bit_cast<std::int32_t>(detail)});
  }
  void jump_to(Gva place) { detail = static_cast<std::uint32_t>(place - at); }
  /// kprobe: the bytes behind its first, where a jump replaced them.
  [[nodiscard]] std::array<std::uint8_t, 4> copied() const {
    return std::bit_cast<std::array<std::uint8_t, 4>>(detail);
  }
  void copy(std::array<std::uint8_t, 4> bytes) { detail = std::bit_cast<std::uint32_t>(bytes); }
};

class PatchSites {
 public:
  static constexpr std::size_t kMaxSites = 1U << 20;

  /// All sites within `code`'s text: the kernel's and its modules'. What a table does not give (it
  /// cannot be read, this kernel has none) is told in warnings(). Cost: a read for each page of
  /// ftrace records, and one for each table: 2 to 5 ms.
  [[nodiscard]] static PatchSites read(const Kernel& kernel, const KernelCode& code);

  [[nodiscard]] const std::vector<PatchSite>& sites() const { return sites_; }  ///< by address
  [[nodiscard]] const PatchSite* find(Gva at) const;
  /// Those that start within [start, start + size).
  [[nodiscard]] std::span<const PatchSite> within(Gva start, std::uint64_t size) const;
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

  /// A copy of code as it stands at `start`, made what it would be if nothing had been patched:
  /// zeros at sites that change, the original bytes where kprobes stand.
  void undo(Gva start, MutableBytes text) const;

 private:
  std::vector<PatchSite> sites_;
  std::vector<std::string> warnings_;
};

}  // namespace vitrine::linux
