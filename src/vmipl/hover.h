// What a word of a script is: for editors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vmipl/ast.h"
#include "vmipl/ports.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

struct Hover {
  Span span;         ///< the word
  std::string text;  ///< Markdown
};

/// Of the word at `offset`: a probe, action, function, value, field, key, view or column by the
/// catalogue; a system call or MSR where one stands; what the script declares by the line that
/// does; a symbol or type of the kernel, where `ports` know it. Nothing in comments and strings.
/// `script` is what could be read of `source`.
[[nodiscard]] std::optional<Hover> hover(const Source& source, const Script& script,
                                         std::uint32_t offset, const Ports& ports);

}  // namespace vitrine::vmipl
