// How the text of a script that runs reaches people and programs: for `run` and `repl`.
#pragma once

#include <map>
#include <string>

#include "cli/output.h"
#include "probe/actions/machine_actions.h"
#include "probe/outputs.h"
#include "probe/words.h"

namespace vitrine::cli {

/// A guest's bytes escaped as in tables, or as JSON has them; widths by the terminal.
[[nodiscard]] probe::TextRules text_rules(const Console& console);

/// Text goes out at once to a terminal, and within some milliseconds to a pipe.
/// `console` must outlive the result. @param channel_files  channels that go to files
[[nodiscard]] probe::OutputOptions output_options(Console& console,
                                                  std::map<std::string, std::string> channel_files,
                                                  bool json);

/// Tells each change of the guest as it happens: a remark, or a record. What it was given must
/// outlive the result.
[[nodiscard]] probe::MachineActions::Teller change_teller(probe::Outputs& outputs,
                                                          const Console& console, bool json);

}  // namespace vitrine::cli
