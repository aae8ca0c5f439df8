// RuleScript: one file of rules, compiled for one kernel and ready to fire.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "probe/interpreter.h"
#include "probe/maps.h"
#include "symptom/rule_environment.h"
#include "vmipl/check.h"
#include "vmipl/program.h"

namespace vitrine::symptom {

/// Threads: one at a time.
class RuleScript {
 public:
  /// One firing's instructions: what no rule that ends comes near to.
  static constexpr std::uint64_t kBudget = 50'000'000;

  /// What is wrong with a file, as the language tells it: some lines each.
  using Mistakes = std::vector<std::string>;

  /// @param options  the ports of the kernel, and which warnings are silent
  /// @param views    where its blocks read; must outlive this
  /// @param report   called for each finding of a firing
  /// @param turn     called now and then while a firing goes on
  [[nodiscard]] static std::expected<std::unique_ptr<RuleScript>, Mistakes> compile(
      const vmipl::Source& source, vmipl::CheckOptions options, ViewCache& views,
      RuleEnvironment::Report report, std::function<void()> turn = [] {});

  struct Fired {
    bool over_budget = false;
    bool complete = true;  ///< to its end, and every view that it opened was read whole
  };
  /// Runs program().probes[probe] once. @param now  nanoseconds since 1970
  Fired fire(unsigned probe, std::int64_t now);

  [[nodiscard]] const vmipl::Program& program() const { return program_; }
  [[nodiscard]] const std::string& file() const { return file_; }  ///< without its folder

 private:
  RuleScript(std::string file, vmipl::Program program)
      : file_(std::move(file)), program_(std::move(program)) {}

  std::string file_;
  vmipl::Program program_;
  std::unique_ptr<probe::LocalMaps> maps_;
  std::unique_ptr<probe::Interpreter> interpreter_;
  std::unique_ptr<RuleEnvironment> environment_;
};

}  // namespace vitrine::symptom
