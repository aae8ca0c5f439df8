// check(): the front door. Text in; the script and everything that is wrong with it out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vmipl/catalogue.h"
#include "vmipl/diagnostic.h"
#include "vmipl/parser.h"
#include "vmipl/ports.h"
#include "vmipl/program.h"
#include "vmipl/source.h"

namespace vitrine::vmipl {

struct CheckOptions {
  Ports ports;
  std::vector<std::string> allow;  ///< names of warnings not to tell; "all"
  /// Judge permissions: a script that needs one that is not given is refused (E131, E132).
  bool judge_permissions = false;
  bool allow_writes = false;
  bool allow_control = false;
  /// A program is wanted: a script that cannot be built without a guest is refused (E133).
  bool build = false;
};

/// A probe, action or stream of the script and what running it takes: for the planner, which
/// finds a mechanism for each, or refuses it by its line.
struct CheckedProbe {
  std::string written;  ///< "Syscall(openat)"
  const ProbeInfo* probe = nullptr;
  std::uint32_t needs = 0;  ///< Needs, of the probe and of what its block does
  Span span;
  std::uint32_t line = 0;
  std::vector<std::string> unchecked;  ///< symbols that only a machine can confirm
};

struct Checked {
  ParseResult parsed;
  std::vector<CheckedProbe> probes;  ///< in script order, where they could be made out
  /// The program, if there is no error and nothing it uses is unknown without a guest.
  std::optional<Program> program;
};

/// Parses and checks. `diagnostics` come sorted, silenced as the script and `options` ask.
/// No error among them: the script does what it says, as far as can be known without what
/// the ports lack.
[[nodiscard]] Checked check(const Source& source, const CheckOptions& options,
                            Diagnostics& diagnostics);

}  // namespace vitrine::vmipl
