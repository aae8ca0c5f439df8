// Cells: a view's values as text, for people and for programs.
#pragma once

#include <compare>
#include <string>

#include "cli/escape.h"
#include "linux/view.h"

namespace vitrine::cli {

/// For people: "12.3 MiB", "1m02.345s", "2026-11-22T06:19:00Z", "-" where there is none.
[[nodiscard]] std::string human(const linux::Value& value, linux::ColumnType type, Charset charset);

/// For CSV: exact numbers (bytes, seconds), text escaped as in tables, a list's elements
/// separated by a space (a space within one is \x20), nothing where there is none.
[[nodiscard]] std::string exact(const linux::Value& value, linux::ColumnType type);

/// Appends the value as JSON. @returns false if it is text with bytes that are not
/// UTF-8, and so was escaped: the row must say so.
bool append_json(std::string& out, const linux::Value& value, linux::ColumnType type);

[[nodiscard]] bool right_aligned(linux::ColumnType type) noexcept;

/// By value, not by text; what is missing comes last.
[[nodiscard]] std::weak_ordering compare(const linux::Value& a, const linux::Value& b);

[[nodiscard]] std::string human_size(std::uint64_t bytes);           ///< "12.3 MiB"
[[nodiscard]] std::string human_duration(std::int64_t nanoseconds);  ///< "3d04h05m", "1m02.345s"
[[nodiscard]] std::string iso_time(std::int64_t nanoseconds, bool fraction);

}  // namespace vitrine::cli
