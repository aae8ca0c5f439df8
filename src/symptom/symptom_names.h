// The names that findings of a pack can have, without a kernel to compile it for.
#pragma once

#include <string>
#include <vector>

#include "symptom/pack.h"

namespace vitrine::symptom {

/// Ascending, each once: of each symptom, and of each YARA rule behind "pattern_". Of files with
/// mistakes, what can be read of them.
[[nodiscard]] std::vector<std::string> symptom_names(const Pack& pack);

}  // namespace vitrine::symptom
