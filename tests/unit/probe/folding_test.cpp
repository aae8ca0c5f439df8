// What is worked out when a script is checked is what it would be while it runs: expressions by
// chance, once of constants and once of values of the moment, must print the same.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "probe/interpreter.h"
#include "probe/maps.h"
#include "probe/words.h"
#include "unit/probe/fake_environment.h"
#include "vmipl/catalogue.h"
#include "vmipl/check.h"

namespace vitrine::probe {
namespace {

/// An expression in two forms: `known` of constants, `open` with the same numbers in arguments.
struct Both {
  std::string known, open;
};

class Expressions {
 public:
  explicit Expressions(std::uint64_t seed) : random_(seed) {
    // Numbers at the edges, and any.
    static constexpr std::uint64_t kEdges[] = {0,
                                               1,
                                               2,
                                               7,
                                               63,
                                               64,
                                               127,
                                               128,
                                               255,
                                               256,
                                               32768,
                                               0x7fffffff,
                                               0x80000000,
                                               0xffffffff,
                                               1ULL << 32,
                                               1ULL << 62,
                                               (1ULL << 63) - 1,
                                               1ULL << 63,
                                               ~0ULL - 1,
                                               ~0ULL};
    for (auto& argument : arguments) {
      argument = upto(3) == 0 ? random_() : kEdges[upto(std::size(kEdges))];
      if (upto(4) == 0) argument = random_() % 100;
    }
  }
  std::uint64_t arguments[6] = {};

  Both number(unsigned depth) {
    if (depth == 0 || upto(6) == 0) return leaf();
    switch (upto(14)) {
      case 0:
        return unary("-", number(depth - 1));
      case 1:
        return unary("~", number(depth - 1));
      case 2:
        return cast(number(depth - 1));
      case 3: {
        const auto inner = number(depth - 1);
        return {"abs(" + inner.known + ")", "abs(" + inner.open + ")"};
      }
      case 4: {
        const auto decide = truth(depth - 1);
        const auto yes = number(depth - 1), no = number(depth - 1);
        return {fmt::format("({} ? {} : {})", decide.known, yes.known, no.known),
                fmt::format("({} ? {} : {})", decide.open, yes.open, no.open)};
      }
      default: {
        static constexpr const char* kOperators[] = {"+", "-", "*", "/",  "%",
                                                     "&", "|", "^", "<<", ">>"};
        return binary(kOperators[upto(std::size(kOperators))], number(depth - 1),
                      number(depth - 1));
      }
    }
  }

  Both truth(unsigned depth) {
    switch (depth == 0 ? 9 : upto(10)) {
      case 0:
        return unary("!", truth(depth - 1));
      case 1:
        return binary("&&", truth(depth - 1), truth(depth - 1));
      case 2:
        return binary("||", truth(depth - 1), truth(depth - 1));
      default: {
        static constexpr const char* kComparisons[] = {"==", "!=", "<", "<=", ">", ">="};
        const auto below = depth == 0 ? 0 : depth - 1;
        return binary(kComparisons[upto(std::size(kComparisons))], number(below), number(below));
      }
    }
  }

 private:
  std::size_t upto(std::size_t most) { return static_cast<std::size_t>(random_() % most); }

  Both leaf() {
    if (upto(3) == 0) {
      const auto literal = fmt::format("{}", upto(2) == 0 ? upto(70) : random_() >> upto(64));
      return {literal, literal};
    }
    static constexpr const char* kTypes[] = {"u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"};
    const auto* type = kTypes[upto(std::size(kTypes))];
    const auto which = upto(std::size(arguments));
    return {fmt::format("({}){}", type, arguments[which]), fmt::format("({})arg{}", type, which)};
  }
  Both cast(const Both& inner) {
    static constexpr const char* kTypes[] = {"u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"};
    const auto* type = kTypes[upto(std::size(kTypes))];
    return {fmt::format("({}){}", type, inner.known), fmt::format("({}){}", type, inner.open)};
  }
  static Both unary(const char* sign, const Both& inner) {
    return {fmt::format("({} {})", sign, inner.known), fmt::format("({} {})", sign, inner.open)};
  }
  static Both binary(const char* sign, const Both& left, const Both& right) {
    return {fmt::format("({} {} {})", left.known, sign, right.known),
            fmt::format("({} {} {})", left.open, sign, right.open)};
  }

  std::mt19937_64 random_;
};

/// What a script prints; nothing where it has a mistake.
std::optional<std::string> printed(const std::string& expression, const char* directive,
                                   const std::uint64_t (&arguments)[6], std::string& mistake) {
  const vmipl::Source source(
      "folding.vmi",
      fmt::format("ExecuteAt(0xffffffff81000000) {{ Print(\"{}\", {}) }}", directive, expression));
  vmipl::Diagnostics diagnostics;
  const auto checked = vmipl::check(source, {}, diagnostics);
  if (!checked.program) {
    for (const auto& one : diagnostics.items()) {
      if (one.is_error()) mistake = one.message;
    }
    return std::nullopt;
  }
  FakeEnvironment environment;
  const auto all = vmipl::moments();
  for (unsigned i = 0; i < all.size(); ++i) {
    if (all[i].group.empty() && all[i].name.starts_with("arg"))
      environment.moment_numbers[i] = arguments[all[i].name[3] - '0'];
  }
  const auto maps = LocalMaps::create(checked.program->maps, {});
  Interpreter interpreter(*checked.program, **maps);
  (void)interpreter.run(0, environment, kEventBudget);
  if (environment.emitted.size() != 1) return std::nullopt;
  const auto& site = checked.program->sites[environment.emitted[0].site];
  return format_text(site.format, environment.emitted[0].values, site.types, complete({}));
}

TEST(Folding, gives_what_the_interpreter_gives) {
  const char* given = std::getenv("VITRINE_FOLDING_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 0) : 1;
  const std::uint64_t last = given != nullptr ? first : 20'000;
  std::size_t compared = 0;
  for (auto seed = first; seed <= last; ++seed) {
    Expressions expressions(seed);
    const bool number = seed % 3 != 0;
    const auto both = number ? expressions.number(4) : expressions.truth(3);
    const char* directive = number ? "%d" : "%s";
    std::string mistake;
    const auto known = printed(both.known, directive, expressions.arguments, mistake);
    // Overflows and divisions by zero are mistakes where they are known.
    if (!known) {
      EXPECT_FALSE(mistake.empty()) << seed << ": " << both.known;
      continue;
    }
    const auto open = printed(both.open, directive, expressions.arguments, mistake);
    if (!open) continue;  // of literals alone somewhere: told as well
    EXPECT_EQ(*known, *open) << "seed " << seed << "\n" << both.known << "\n" << both.open;
    ++compared;
    if (HasFailure()) return;
  }
  if (given == nullptr) {
    EXPECT_GT(compared, 5'000U);
  }
}

}  // namespace
}  // namespace vitrine::probe
