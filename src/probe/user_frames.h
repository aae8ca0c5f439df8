// UserFrames: what the code on programs' stacks is called.
//
// An address says less in a program than in the kernel: each process has its own mappings, and
// they are gone when a map is printed. So the name is found while the process is there, and the
// frame keeps which of the names of that address it is: in bits 63:56, which are zero in every
// address of a program (five levels of tables reach bit 55).
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "linux/stack/user_stack.h"

namespace vitrine::probe {

/// Of a frame of a program, bits 63:56 say which of the names of its address it has; the
/// kernel's addresses have bit 63.
inline constexpr unsigned kFrameAddressBits = 56;
[[nodiscard]] constexpr bool is_kernel_frame(std::uint64_t frame) { return frame >> 63 != 0; }
[[nodiscard]] constexpr std::uint64_t frame_address(std::uint64_t frame) {
  return is_kernel_frame(frame) ? frame : frame & ((1ULL << kFrameAddressBits) - 1);
}

/// Threads: any.
class UserFrames {
 public:
  /// Names that are kept; of one address, too. What is beyond them is an address.
  static constexpr std::size_t kMaxNames = 1u << 16;
  static constexpr std::size_t kMaxOfOne = 0x7f;

  /// The frame as it stands in a stack's text: its address (probe/value.h), and its name.
  [[nodiscard]] std::uint64_t frame(const linux::UserFrame& frame);

  /// "main+0x12"; "[libc.so.6+0x2724a]", the place in the file, where no table of symbols could be
  /// read; empty: not even the file is known.
  [[nodiscard]] std::string name(std::uint64_t frame) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::vector<std::string>> names_;  ///< by address
  std::size_t count_ = 0;
};

/// A stack's text, the innermost frame first.
[[nodiscard]] std::string stack_text(const std::vector<linux::UserFrame>& frames,
                                     UserFrames* names);

}  // namespace vitrine::probe
