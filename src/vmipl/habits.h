// What people write out of habit from other languages (bpftrace, DTrace, C, SQL), and what it is
// called here. For diagnostics alone: none of it is accepted.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vitrine::vmipl {

/// A probe as bpftrace or DTrace writes it.
struct ProbeHabit {
  std::string_view probe;  ///< ours: "Syscall"; empty if there is none of the kind
  std::string written;     ///< all of it, as it is written here: "Syscall(openat)"; may be empty
  std::string_view why;    ///< one sentence
};

/// @param head  what stands before the block: "kprobe:vfs_open", "syscall::open*:entry", "BEGIN".
/// @returns nothing if it is nobody's habit.
[[nodiscard]] std::optional<ProbeHabit> probe_habit(std::string_view head);

/// Our probe for a name that others, or people who guess, give it: "Breakpoint": "ExecuteAt"; empty
/// if there is none.
[[nodiscard]] std::string_view probe_name_habit(std::string_view word) noexcept;

/// What gdb, SQL and C write where a probe stands here.
struct TopHabit {
  std::string why, hint;
};
/// @param line  from the word on: "break vfs_open", "int main(void)".
[[nodiscard]] std::optional<TopHabit> top_habit(std::string_view line);

/// A word that begins a statement elsewhere.
struct StatementHabit {
  enum class Before : unsigned char { call /* ( */, name /* or { or text */, arrow };
  std::string_view word;
  Before before;  ///< what follows it, if it is that habit
  std::string_view why;
  std::string_view ours;  ///< to put in its place; may be empty
  std::string_view hint;
};
[[nodiscard]] std::span<const StatementHabit> statement_habits() noexcept;

/// The vector of an exception that is called by its name: "page_fault", "exc_page_fault", "PF": 14.
[[nodiscard]] std::optional<unsigned> exception_habit(std::string_view word) noexcept;

/// The number that C's headers call so: "ENOENT": 2, "SIGKILL": 9, "O_CREAT": 64.
[[nodiscard]] std::optional<unsigned> number_habit(std::string_view word) noexcept;

// Our word for theirs; empty if there is none.
[[nodiscard]] std::string_view value_habit(
    std::string_view word) noexcept;  ///< "comm": "process.name"
[[nodiscard]] std::string_view function_habit(
    std::string_view word) noexcept;  ///< "hist": "histogram"
/// What to do instead, for a function that has no one word here; empty if nobody expects it.
[[nodiscard]] std::string_view function_hint(std::string_view word) noexcept;
[[nodiscard]] std::string_view view_habit(std::string_view word) noexcept;  ///< "lsmod": "modules"
[[nodiscard]] std::string_view operator_habit(std::string_view word) noexcept;  ///< "and": "&&"
/// A field of a process or a column of a view: what it might be called, most likely first.
[[nodiscard]] std::span<const std::string_view> field_habit(std::string_view word) noexcept;

}  // namespace vitrine::vmipl
