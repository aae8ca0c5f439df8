// What a task does and how it is scheduled, in the words of /proc, ps and chrt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine::linux {

/// The letter of /proc/PID/stat: R running or runnable, S sleeping, D uninterruptible
/// (or frozen), T stopped, t traced, X dead, Z zombie, P parked, I idle kernel thread.
///
/// @param state       task_struct.__state (state before 5.14)
/// @param exit_state  task_struct.exit_state
/// Source: task_state_index() in include/linux/sched.h, fs/proc/array.c; the bits have
/// kept their values since 4.14, TASK_RTLOCK_WAIT came with 5.15, TASK_FROZEN with 6.1.
[[nodiscard]] char state_letter(std::uint64_t state, std::uint32_t exit_state) noexcept;

/// "other", "fifo", "rr", "batch", "idle", "deadline", "ext": the policies of sched(7).
/// Nothing for a number that is none.
[[nodiscard]] std::optional<std::string_view> policy_name(std::uint32_t policy) noexcept;

/// Bits as a list of ranges, as /proc/PID/status prints Cpus_allowed_list: "0-3,7".
/// `words` are little-endian 64-bit words; bits at or above `limit` are passed over.
[[nodiscard]] std::string cpu_list(const std::uint64_t* words, std::size_t word_count,
                                   unsigned limit);

}  // namespace vitrine::linux
