// Where a name of a script is declared: for editors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vmipl/ast.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

struct Definition {
  enum Kind : unsigned char { variable, parameter, constant, function, map, channel, symptom };
  Kind kind = variable;
  Span use;       ///< the name under the offset
  Span declared;  ///< the name where it is declared
  Span whole;     ///< the statement or item that declares it
};

/// What the name at `offset` means, if this script declares it: variables, rows and numbers of
/// loops, parameters, const, fn; a map where it is first written, else first used; a channel
/// where it is first used; a symptom by its name in a Report. An offset at the end of a name
/// belongs to it. Works on what could be read of a script with mistakes.
/// Cost: linear in the script.
[[nodiscard]] std::optional<Definition> find_definition(const Script& script, std::uint32_t offset);

}  // namespace vitrine::vmipl
