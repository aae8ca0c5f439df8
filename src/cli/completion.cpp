#include "cli/completion.h"

#include <algorithm>

#include "cli/columns.h"
#include "vmipl/catalogue.h"
#include "vmipl/codes.h"

namespace vitrine::cli {
namespace {

// The scripts ask `vitrine __complete WORDS...` for candidates, one a line.
constexpr std::string_view kBash =
    R"(# bash completion for vitrine: source <(vitrine completion bash)
_vitrine() {
  local word="${COMP_WORDS[COMP_CWORD]}" line
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == ':files' ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word")
    else
      COMPREPLY+=("$line")
      [[ $line == *[,.] ]] && compopt -o nospace
    fi
  done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _vitrine vitrine
)";

constexpr std::string_view kZsh = R"(#compdef vitrine
# zsh completion for vitrine: source <(vitrine completion zsh)
_vitrine() {
  local -a found
  local line files=0
  for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == ':files' ]]; then files=1; elif [[ -n $line ]]; then found+=("$line"); fi
  done
  (( $#found )) && compadd -- "${found[@]}"
  (( files )) && _files
}
if [[ $funcstack[1] == _vitrine ]]; then _vitrine "$@"; else compdef _vitrine vitrine; fi
)";

constexpr std::string_view kFish =
    R"(# fish completion for vitrine: vitrine completion fish | source
function __vitrine_candidates
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ':files'
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c vitrine -f -a '(__vitrine_candidates)'
)";

/// The VIEW whose columns are meant: the command's own, or the operand before.
const linux::View* view_meant(const Command& command, const std::vector<std::string>& words,
                              const World& world) {
  constexpr std::pair<std::string_view, std::string_view> kViews[] = {
      {"ps", "processes"}, {"threads", "threads"}, {"lsmod", "modules"}, {"lsof", "files"},
      {"ss", "sockets"},   {"maps", "maps"},       {"mounts", "mounts"}, {"dmesg", "kernel_log"}};
  for (const auto* view : world.views()) {
    for (const auto& [name, shown] : kViews) {
      if (command.name == name && view->info().name == shown) return view;
    }
    if (command.name == "show" && words.size() > 2 && view->info().name == words[1]) return view;
  }
  return nullptr;
}

class Candidates {
 public:
  Candidates(std::string typed, const World& world) : typed_(std::move(typed)), world_(world) {}

  void add(std::string_view word) {
    if (word.starts_with(typed_)) found_.emplace_back(word);
  }

  /// After the last comma, sign included, stands the column.
  void add_columns(const linux::View* view) {
    if (view == nullptr) return;
    const auto comma = typed_.rfind(',');
    auto done = comma == std::string::npos ? std::string() : typed_.substr(0, comma + 1);
    if (typed_.size() > done.size() && (typed_[done.size()] == '+' || typed_[done.size()] == '-')) {
      done += typed_[done.size()];
    }
    for (const auto& column : view->info().columns) add(done + std::string(column.name));
  }

  void add(Words words, const linux::View* view) {
    switch (words) {
      case Words::machine: {
        if (const auto machines = world_.machines()) {
          for (const auto& machine : *machines) {
            if (escape(machine.name, Charset::ascii) == machine.name) add(machine.name);
          }
        }
        found_.emplace_back(":files");
        break;
      }
      case Words::view:
        for (const auto* known : world_.views()) add(known->info().name);
        break;
      case Words::command:
        for (const auto& known : commands()) {
          if (!known.hidden) add(known.name);
        }
        break;
      case Words::column:
        add_columns(view);
        break;
      case Words::shell:
        for (const auto* shell : {"bash", "zsh", "fish"}) add(shell);
        break;
      case Words::probe:
        for (const auto& probe : vmipl::probes()) add(probe.name);
        break;
      case Words::code:
        for (const auto& code : vmipl::all_codes()) add(code.code);
        break;
      case Words::warning:
        for (const auto& code : vmipl::all_codes()) {
          if (code.severity == vmipl::Severity::warning) add(code.name);
        }
        break;
      case Words::path:
        found_.emplace_back(":files");
        break;
      case Words::none:
      case Words::symbol:
      case Words::type:
      case Words::number:
      case Words::text:
        break;
    }
  }

  std::vector<std::string> take() && { return std::move(found_); }

 private:
  std::string typed_;
  const World& world_;
  std::vector<std::string> found_;
};

const Option* option_of(const Command& command, std::string_view name) {
  const auto at = std::ranges::find(command.options, name, &Option::name);
  return at == command.options.end() ? nullptr : &*at;
}

}  // namespace

std::string_view completion_script(std::string_view shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return {};
}

std::vector<std::string> candidates(const std::vector<std::string>& words, const World& world) {
  if (words.empty()) return {};
  const auto& typed = words.back();
  Candidates found(typed, world);
  if (words.size() == 1) {
    found.add(Words::command, nullptr);
    if (typed.starts_with('-')) {
      found.add("--help");
      found.add("--version");
    }
    return std::move(found).take();
  }
  const auto* command = find_command(words.front());
  if (command == nullptr || command->hidden) return {};
  const auto* view = view_meant(*command, words, world);
  if (words.size() > 2) {
    const auto* before = option_of(*command, words[words.size() - 2]);
    if (before != nullptr && !before->value.empty()) {
      found.add(before->words, view);
      for (const auto choice : before->choices) found.add(choice);
      return std::move(found).take();
    }
  }
  if (typed.starts_with('-')) {
    for (const auto& option : command->options) found.add(option.name);
    found.add("--help");
    return std::move(found).take();
  }
  std::size_t operand = 0;
  for (std::size_t i = 1; i + 1 < words.size(); ++i) {
    const auto* option = option_of(*command, words[i]);
    if (option != nullptr && !option->value.empty()) {
      ++i;
    } else if (!words[i].starts_with('-')) {
      ++operand;
    }
  }
  const auto& operands = command->operands;
  if (!operands.empty() && operands.back().repeated)
    operand = std::min(operand, operands.size() - 1);
  if (operand < operands.size()) {
    found.add(operands[operand].words, view);
    for (const auto choice : operands[operand].choices) found.add(choice);
  }
  return std::move(found).take();
}

}  // namespace vitrine::cli
