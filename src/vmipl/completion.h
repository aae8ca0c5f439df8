// What may stand where a script is being written: for the prompt and for editors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmipl/ports.h"

namespace vitrine::vmipl {

struct Completion {
  enum Kind : unsigned char {
    keyword,
    probe,     ///< event and stream probes
    action,    ///< actions, data probes, filters
    function,  ///< of the catalogue, and declared ones
    value,     ///< of the moment, registers
    field,     ///< of event, columns of a row
    view,
    key,       ///< of Configuration and Symptom
    word,      ///< what an argument may be: a system call, a severity ...
    variable,  ///< declared by let, for, fn and const
    map,       ///< with its @
    channel,   ///< with its #
  };
  std::string text;  ///< whole: "process.name"
  Kind kind = keyword;
  std::string detail;  ///< how it is written, or what it is; one line; may be empty
};

/// What may stand at the end of `before`, in order of its text, each once; each begins with
/// last_word(before), and is longer. `before` is a line, or all of a script up to there; what
/// `whole` declares (the script, else empty) is offered too. Symbols of the kernel are not.
/// Any bytes. Cost: linear in both.
[[nodiscard]] std::vector<Completion> completions(std::string_view before, const Ports& ports,
                                                  std::string_view whole = {});

/// The part of `before` that completions() completes: letters, digits, _ and the dots before
/// them, or a @ or # in front.
[[nodiscard]] std::string_view last_word(std::string_view before);

}  // namespace vitrine::vmipl
