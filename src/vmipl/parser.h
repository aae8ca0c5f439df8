// Parser: tokens to a Script, telling every mistake it meets and going on after each.
#pragma once

#include <vector>

#include "vmipl/ast.h"
#include "vmipl/diagnostic.h"
#include "vmipl/lexer.h"

namespace vitrine::vmipl {

struct ParseResult {
  Script script;
  std::vector<Allowance> allowances;
  std::vector<LaidToken> tokens;  ///< whole only if there was no error
};

/// Cost: linear in the text. Depth of recursion: bounded by kMaxDepth.
[[nodiscard]] ParseResult parse(const Source& source, Diagnostics& diagnostics);

}  // namespace vitrine::vmipl
