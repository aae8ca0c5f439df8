#include "fvm/guard/policy.h"

#include <fmt/format.h>

#include <algorithm>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "fvm/did_you_mean.h"

namespace vitrine::fvm {
namespace {

constexpr std::array<std::string_view, 6> kActions = {"log",      "snapshot", "freeze",
                                                      "throttle", "isolate",  "stop"};
constexpr std::array<std::string_view, 5> kSeverities = {"info", "low", "medium", "high",
                                                         "critical"};

template <class Names>
std::string guess(std::string_view word, const Names& names) {
  auto meant = did_you_mean(word, names);
  return meant.empty() ? fmt::format("; there are {}", fmt::join(names, ", ")) : meant;
}

class PolicyReader {
 public:
  PolicyReader(std::string_view name, Policy& policy) : name_(name), policy_(policy) {}

  void read(const toml::table& root) {
    constexpr std::array<std::string_view, 4> kKeys = {"dry_run", "severity", "symptom",
                                                       "throttle"};
    for (const auto& [key, node] : root) {
      if (key == "dry_run") {
        if (const auto value = node.value_exact<bool>())
          policy_.dry_run = *value;
        else
          mistake(node.source(), "dry_run is true or false");
      } else if (key == "severity") {
        with_table(node, "severity", [&](const toml::table& table) { severities(table); });
      } else if (key == "symptom") {
        with_table(node, "symptom", [&](const toml::table& table) { symptoms(table); });
      } else if (key == "throttle") {
        with_table(node, "throttle", [&](const toml::table& table) { throttle(table); });
      } else {
        mistake(key.source(),
                fmt::format("there is no \"{}\"{}", key.str(), guess(key.str(), kKeys)));
      }
    }
  }

  void mistake(const toml::source_region& at, std::string_view text) {
    mistakes_.push_back(fmt::format("{}:{}: {}", name_, at.begin.line, text));
  }
  [[nodiscard]] const std::vector<std::string>& mistakes() const { return mistakes_; }

 private:
  template <class Then>
  void with_table(const toml::node& node, std::string_view what, Then then) {
    if (const auto* table = node.as_table())
      then(*table);
    else
      mistake(node.source(), fmt::format("{} is a table: [{}]", what, what));
  }

  void severities(const toml::table& table) {
    for (const auto& [key, node] : table) {
      const auto at = std::ranges::find(kSeverities, key.str());
      if (at == kSeverities.end()) {
        mistake(key.source(), fmt::format("there is no severity \"{}\"{}", key.str(),
                                          guess(key.str(), kSeverities)));
      } else {
        policy_.by_severity[static_cast<std::size_t>(at - kSeverities.begin())] = actions(node);
      }
    }
  }

  void symptoms(const toml::table& table) {
    for (const auto& [key, node] : table) {
      with_table(node, fmt::format("symptom.{}", key.str()),
                 [&, &symptom = key](const toml::table& own) {
                   for (const auto& [inner, value] : own) {
                     if (inner == "actions")
                       policy_.by_symptom[std::string(symptom.str())] = actions(value);
                     else
                       mistake(inner.source(),
                               fmt::format("a symptom has actions, and no \"{}\"", inner.str()));
                   }
                 });
    }
  }

  void throttle(const toml::table& table) {
    for (const auto& [key, node] : table) {
      const auto value = node.value_exact<std::int64_t>();
      if (key != "percent")
        mistake(key.source(), fmt::format("throttle has percent, and no \"{}\"", key.str()));
      else if (!value || *value < 1 || *value > 99)
        mistake(node.source(), "percent is a number from 1 to 99");
      else
        policy_.throttle_percent = static_cast<unsigned>(*value);
    }
  }

  std::vector<Action> actions(const toml::node& node) {
    std::vector<Action> all;
    const auto* list = node.as_array();
    if (list == nullptr) {
      mistake(node.source(), "actions are a list: [\"log\", \"freeze\"]");
      return all;
    }
    for (const auto& one : *list) {
      const auto word = one.value_exact<std::string>();
      const auto at = word ? std::ranges::find(kActions, *word) : kActions.end();
      if (!word)
        mistake(one.source(), "an action is a word in quotes");
      else if (at == kActions.end())
        mistake(one.source(),
                fmt::format("there is no action \"{}\"{}", *word, guess(*word, kActions)));
      else
        all.push_back(static_cast<Action>(at - kActions.begin()));
    }
    return all;
  }

  std::string_view name_;
  Policy& policy_;
  std::vector<std::string> mistakes_;
};

}  // namespace

std::string_view name(Action action) noexcept { return kActions[static_cast<std::size_t>(action)]; }

Policy Policy::usual() {
  Policy policy{.dry_run = true};
  policy.by_severity[3] = {Action::snapshot};
  policy.by_severity[4] = {Action::snapshot, Action::freeze};
  return policy;
}

Outcome<Policy> Policy::parse(std::string_view text, std::string_view name) {
  Policy policy;
  PolicyReader reader(name, policy);
  const auto parsed = toml::parse(text);
  if (parsed) {
    reader.read(parsed.table());
  } else {
    reader.mistake(parsed.error().source(), parsed.error().description());
  }
  if (!reader.mistakes().empty()) {
    return std::unexpected(Problem(Errc::invalid,
                                   fmt::format("{}", fmt::join(reader.mistakes(), "\n")),
                                   "the policy is not used; docs/guard.md has an example"));
  }
  return policy;
}

std::vector<Action> Policy::actions(std::string_view symptom, symptom::Severity severity) const {
  const auto own = by_symptom.find(symptom);
  auto all = own != by_symptom.end()
                 ? own->second
                 : by_severity[std::min<std::size_t>(static_cast<std::size_t>(severity), 4)];
  all.push_back(Action::log);
  // Freezing first: what a snapshot shows is then what was found.
  constexpr auto order = [](Action action) {
    switch (action) {
      case Action::freeze:
        return 0;
      case Action::throttle:
        return 1;
      case Action::isolate:
        return 2;
      case Action::log:
        return 3;
      case Action::snapshot:
        return 4;
      case Action::stop:
        return 5;
    }
    return 6;
  };
  std::ranges::sort(all, {}, order);
  const auto rest = std::ranges::unique(all);
  all.erase(rest.begin(), rest.end());
  return all;
}

}  // namespace vitrine::fvm
