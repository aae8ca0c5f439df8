// Where a function of the guest's kernel leaves: read off its instructions.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "memory/virtual_memory.h"

namespace vitrine::probe {

struct FunctionExits {
  std::vector<std::uint64_t> returns;     ///< `ret`, or a jump to a return thunk
  std::vector<std::uint64_t> tail_calls;  ///< where it jumps to, out of itself
  bool indirect = false;                  ///< it ends in a jump whose target cannot be read off
};

/// Reads the code of [start, start + size). `is_return_thunk` tells a thunk's address.
/// @returns as VirtualMemory::read(); malformed if a byte sequence is no instruction
/// Cost: about 50 ns an instruction.
[[nodiscard]] Result<FunctionExits> find_function_exits(
    const VirtualMemory& memory, std::uint64_t start, std::uint64_t size,
    const std::function<bool(std::uint64_t)>& is_return_thunk);

}  // namespace vitrine::probe
