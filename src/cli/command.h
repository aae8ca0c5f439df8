// Command: one word of the command line, as data: the parser, the help, the man page and
// the completions all read the same.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "cli/output.h"
#include "cli/world.h"

namespace vitrine::cli {

/// The process's exit status.
enum class Status {
  done = 0,
  failed = 1,    ///< the machine, its kernel, or what was asked of it could not be read
  misused = 2,   ///< the words were wrong
  doubtful = 3,  ///< shown, but not all of it is sure: a remark on stderr says what
};

/// What stands in the place of an operand or of an option's value; completions ask.
enum class Words {
  none,
  machine,
  view,
  column,
  command,
  shell,
  symbol,
  type,
  path,
  number,
  text,
  probe,
  code,
  warning
};

struct Operand {
  std::string_view name;  ///< "VM"
  Words words = Words::text;
  bool optional = false;  ///< a VM may always be left out; this is for the rest
  bool repeated = false;  ///< the last one may take any number of words
  std::vector<std::string_view> choices = {};  ///< all there are, where they are few
};

struct Option {
  std::string_view name;   ///< "--columns"
  std::string_view value;  ///< "NAME[,NAME]"; empty for a flag
  std::string_view summary;
  Words words = Words::none;
  std::vector<std::string_view> choices = {};  ///< all there are, where they are few
};

/// The words of one run, sorted out.
struct Arguments {
  std::optional<std::string> machine;  ///< the VM, if one was named
  std::vector<std::string> operands;   ///< the others, in order
  std::map<std::string, std::vector<std::string>, std::less<>> options;  ///< by name, "--columns"

  [[nodiscard]] bool has(std::string_view option) const { return options.contains(option); }
  /// The last value given.
  [[nodiscard]] std::optional<std::string> value(std::string_view option) const;
};

struct Context {
  const World& world;
  Console& console;
};

struct Command {
  std::string_view name;
  std::string_view group;    ///< heading in the overview: "Look at a machine"
  std::string_view summary;  ///< one line
  std::vector<Operand> operands;
  std::vector<Option> options;
  std::string_view description;            ///< a paragraph or two; may be empty
  std::vector<std::string_view> examples;  ///< whole command lines
  bool hidden = false;                     ///< not in the overview
  std::function<Outcome<Status>(Context&, const Arguments&)> run;

  /// "ps [VM] [options]"
  [[nodiscard]] std::string usage() const;
};

/// All commands, in the order of the overview.
[[nodiscard]] const std::vector<Command>& commands();
[[nodiscard]] const Command* find_command(std::string_view name);

/// @returns invalid  the words do not fit the command: an unknown option with the
///   nearest, a missing operand, one too many.
[[nodiscard]] Outcome<Arguments> parse(const Command& command,
                                       const std::vector<std::string>& words);

}  // namespace vitrine::cli
