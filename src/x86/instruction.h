// Instructions: where one ends and the next begins.
#pragma once

#include <cstddef>
#include <optional>

#include "base/bytes.h"

namespace vitrine::x86 {

/// The length in bytes of the 64-bit instruction that `code` starts with; nothing: no instruction,
/// or one that `code` ends within.
/// Threads: any. Cost: some 50 ns.
[[nodiscard]] std::optional<std::size_t> instruction_length(Bytes code) noexcept;

/// Does an instruction start at `offset`, if one starts at 0 and they follow one another? False
/// where what lies between is no code. Cost: linear in `offset`.
[[nodiscard]] bool is_instruction_start(Bytes code, std::size_t offset) noexcept;

}  // namespace vitrine::x86
