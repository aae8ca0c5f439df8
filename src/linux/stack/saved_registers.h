// What is saved on the kernel's stacks: a program's registers, and where a switch left off.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/problem.h"
#include "linux/stack/stack_areas.h"
#include "linux/type_catalogue.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// A program's registers, as far as walking its stack needs them.
struct UserState {
  std::uint64_t ip = 0, sp = 0, bp = 0;
  Gva saved_at;  ///< struct pt_regs; 0: they are the virtual CPU's own
};

/// Where this kernel keeps what is saved on stacks; offsets in bytes.
struct SavedLayout {
  std::uint32_t ip = 128, cs = 136, sp = 152, bp = 32, r10 = 56, r13 = 16, di = 112, dx = 96,
                ss = 160, call = 120;
  std::uint32_t size = 168;  ///< struct pt_regs
  std::uint32_t switched_bp = 40, switched_ip = 48,
                switched_size = 56;  ///< struct inactive_task_frame

  /// @returns not_found  a kernel without BTF, or a member that is missing; the message names it
  [[nodiscard]] static Outcome<SavedLayout> open(const TypeCatalogue& types);
};

/// Bytes that may be left free between a task's first struct pt_regs and its stack's end: 16 with
/// CONFIG_X86_FRED (6.9).
inline constexpr std::array<std::uint64_t, 2> kFreeAboveRegisters{0, 16};

/// The program's registers as they were saved when the owner of this stack entered the kernel.
/// Nothing for kernel threads.
[[nodiscard]] std::optional<UserState> saved_user_state(const VirtualMemory& memory,
                                                        const SavedLayout& layout,
                                                        const StackArea& stack);

}  // namespace vitrine::linux
