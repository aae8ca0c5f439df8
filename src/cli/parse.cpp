// The one file that sees CLI11: it sorts words into options and operands; what is wrong
// with them is said in our own words.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/command.h"
#include "cli/nearest.h"

namespace vitrine::cli {
namespace {

std::unexpected<Problem> misuse(const Command& command, std::string message) {
  return std::unexpected(Problem(
      Errc::invalid, std::move(message),
      fmt::format("usage: vitrine {}\nmore: vitrine help {}", command.usage(), command.name)));
}

std::unexpected<Problem> unknown_option(const Command& command, std::string_view word) {
  const auto typed = word.substr(0, word.find('='));
  std::vector<std::string_view> names{"--help"};
  for (const auto& option : command.options) names.push_back(option.name);
  auto message = fmt::format("{} has no option {}", command.name, typed);
  if (const auto guess = did_you_mean(typed, names); !guess.empty()) message += "; " + guess;
  return misuse(command, std::move(message));
}

Outcome<Arguments> sort_operands(const Command& command, Arguments sorted,
                                 std::vector<std::string> given) {
  const auto least = static_cast<std::size_t>(std::ranges::count_if(
      command.operands, [](const Operand& o) { return !o.optional && o.words != Words::machine; }));
  if (given.size() < least) {
    std::string missing;
    std::size_t have = given.size();
    for (const auto& operand : command.operands) {
      if (operand.words == Words::machine || operand.optional) continue;
      if (have-- == 0) {
        missing = operand.name;
        break;
      }
    }
    const bool vowel = std::string_view("AEIOU").find(missing.front()) != std::string_view::npos;
    return misuse(command,
                  fmt::format("{} wants {} {}", command.name, vowel ? "an" : "a", missing));
  }
  const bool any_number = !command.operands.empty() && command.operands.back().repeated;
  if (given.size() > command.operands.size() && !any_number) {
    const auto& extra = given[command.operands.size()];
    return misuse(command,
                  command.operands.empty()
                      ? fmt::format("{} takes no operand; there is \"{}\"", command.name, extra)
                      : fmt::format("one word too many: \"{}\"", extra));
  }
  // With one word less than there could be, it is the machine that was left out.
  bool omitted = given.size() < command.operands.size();
  std::size_t next = 0;
  for (const auto& operand : command.operands) {
    if (operand.words == Words::machine) {
      if (omitted) {
        omitted = false;
        continue;
      }
      sorted.machine = given[next++];
    } else if (next < given.size()) {
      sorted.operands.push_back(given[next++]);
    }
  }
  while (next < given.size()) sorted.operands.push_back(given[next++]);
  return sorted;
}

}  // namespace

Outcome<Arguments> parse(const Command& command, const std::vector<std::string>& words) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::map<std::string_view, std::vector<std::string>> values;
  std::map<std::string_view, CLI::Option*> options;
  for (const auto& option : command.options) {
    const std::string name(option.name);
    if (option.value.empty()) {
      options[option.name] = app.add_flag(name);
    } else {
      options[option.name] =
          app.add_option(name, values[option.name])->expected(1)->allow_extra_args(false);
    }
  }
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string_view what = error.what();
    const auto name = what.substr(0, what.find(':'));
    const auto at = std::ranges::find(command.options, name, &Option::name);
    const auto value = at == command.options.end() ? std::string_view("value") : at->value;
    return misuse(command, fmt::format("{} wants a value: {} {}", name, name, value));
  } catch (const CLI::Error& error) {
    return misuse(command, error.what());
  }

  Arguments sorted;
  for (const auto& option : command.options) {
    if (options[option.name]->count() != 0) {
      sorted.options.emplace(option.name, std::move(values[option.name]));
    }
  }
  std::vector<std::string> given;
  bool words_only = false;
  for (auto& word : app.remaining()) {
    if (!words_only && word == "--") {
      words_only = true;
    } else if (!words_only && word.size() > 1 && word.front() == '-') {
      return unknown_option(command, word);
    } else {
      given.push_back(std::move(word));
    }
  }
  return sort_operands(command, std::move(sorted), std::move(given));
}

}  // namespace vitrine::cli
