// EventAt: one event of a guest on its virtual CPU's thread, before anything is made of it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "probe/agent/plan.h"

namespace vitrine::probe {

inline constexpr std::size_t kEventFields = 5;

struct EventAt {
  const AgentProbe* probe = nullptr;
  std::uint64_t address = 0;           ///< of the instruction; 0 where there is none
  std::uint64_t detail = 0;            ///< the site's
  std::uint64_t regs = 0;              ///< syscall_return: the guest's pt_regs
  bool compat = false;                 ///< of a system call
  std::optional<std::int64_t> call;    ///< its number
  std::optional<std::int64_t> result;  ///< what was returned
  std::uint64_t task = 0;              ///< whom it is about, if not the current task
  std::uint64_t module = 0;            ///< module_load, module_unload: its struct
  /// By the catalogue's order of the probe's fields; texts are read when they are asked for.
  std::array<std::optional<std::uint64_t>, kEventFields> fields{};
};

/// The lowest `size` bytes of a value.
[[nodiscard]] constexpr std::uint64_t low_bytes(std::uint64_t value, unsigned size) {
  return size >= 8 ? value : value & ((1ULL << (8 * size)) - 1);
}

}  // namespace vitrine::probe
