// check(): the front door. Text in; the script and everything that is wrong with it out.
#pragma once

#include <string>
#include <vector>

#include "vmipl/diagnostic.h"
#include "vmipl/parser.h"
#include "vmipl/ports.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

struct CheckOptions {
  Ports ports;
  std::vector<std::string> allow;   ///< names of warnings not to tell; "all"
  /// Judge permissions: a script that needs one that is not given is refused (E131, E132).
  bool judge_permissions = false;
  bool allow_writes = false;
  bool allow_control = false;
};

/// Parses and checks. `diagnostics` come sorted, silenced as the script and `options` ask.
/// No error among them: the script does what it says, as far as can be known without what
/// the ports lack.
[[nodiscard]] ParseResult check(const Source& source, const CheckOptions& options, Diagnostics& diagnostics);

}  // namespace vitrine::vmipl
