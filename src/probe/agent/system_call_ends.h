// Where a function that does system calls has a call's result: read off its instructions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "memory/virtual_memory.h"

namespace vitrine::probe {

/// An instruction, and the register (as instructions number it) that points to the pt_regs there.
struct ResultPlace {
  std::uint64_t address = 0;
  std::uint8_t reg = 0;
};

enum class StoredResult : std::uint8_t {
  rax,       ///< what a call returned
  constant,  ///< a number
};

/// Where [start, start + size) stores a result to OFFSET(register).
[[nodiscard]] Result<std::vector<ResultPlace>> find_result_stores(const VirtualMemory& memory,
                                                                  std::uint64_t start,
                                                                  std::uint64_t size,
                                                                  std::int64_t offset,
                                                                  StoredResult kind);

/// The first instruction that each of those stores comes to, with no call between, and the result
/// in the pt_regs: one by which all ways through the function lead, calls that were refused and
/// stored nothing included; or, if there is none such, all ways from those stores.
/// Nothing: there is none, or the register does not hold the same from the function's start on.
/// Cost: about 50 ns an instruction, and a walk for each it looks at.
[[nodiscard]] Result<std::optional<ResultPlace>> find_result_join(const VirtualMemory& memory,
                                                                  std::uint64_t start,
                                                                  std::uint64_t size,
                                                                  std::int64_t offset,
                                                                  StoredResult kind);

}  // namespace vitrine::probe
