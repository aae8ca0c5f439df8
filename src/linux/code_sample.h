// CodeSample: a kernel's code, sampled, to know it again by what it does.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "memory/physical_memory.h"

namespace vitrine::linux {

/// Hashes of pieces of 16 bytes, evenly spread over a kernel's text. From boot to boot most
/// of them stay: what does not holds an absolute address (KASLR moves those) or was patched
/// for the CPU (alternatives, static calls).
struct CodeSample {
  static constexpr std::size_t kPieces = 2048;

  std::uint64_t text_size = 0;  ///< bytes over which they are spread
  /// 0: a piece that says nothing (one byte throughout: padding), or could not be read.
  std::array<std::uint32_t, kPieces> pieces{};

  /// @param text  where _text lies
  /// Cost: 2,048 reads of 16 bytes, in one batch.
  [[nodiscard]] static CodeSample take(const PhysicalMemory& ram, Gpa text,
                                       std::uint64_t text_size);

  /// The share of this sample's pieces that `other` has too: 0 to 1; 0 where too few say
  /// anything, and for texts of other sizes. Boots of one kernel share 0.89 (6.1, 7.3 with KASLR).
  [[nodiscard]] double likeness(const CodeSample& other) const noexcept;

  /// Above this, two samples are of one kernel's code.
  static constexpr double kSame = 0.5;
};

}  // namespace vitrine::linux
