// A line for whoever keeps a program's log: a file, the journal, a terminal.
#pragma once

#include <string_view>

namespace vitrine::fvm {

/// Writes "WHO: TEXT" to stderr. What cannot be written is dropped: neither a full disk under the
/// log nor a reader that is gone may end a watcher (fmt::print would throw).
void log_line(std::string_view who, std::string_view text) noexcept;

}  // namespace vitrine::fvm
