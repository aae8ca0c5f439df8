#include "fvm/supervisor/supervisor_main.h"

#include <fmt/format.h>
#include <sysexits.h>

#include <cstdio>
#include <filesystem>

#include "fvm/log_line.h"
#include "fvm/supervisor/chosen_image.h"
#include "fvm/supervisor/policy_remarks.h"
#include "fvm/supervisor/supervisor.h"
#include "symptom/pack.h"
#include "symptom/patterns/pattern_set.h"

namespace vitrine::fvm {
namespace {

constexpr const char* kUsage =
    "usage: vitrined [--config FILE] [--check]\n"
    "  --config FILE  default: /etc/vitrine/vitrined.toml\n"
    "  --check        say what is wrong with it, and start nothing\n";

int failed(const Problem& problem) {
  log_line("vitrined", problem.hint.empty()
                           ? problem.message
                           : fmt::format("{}\n  {}", problem.message, problem.hint));
  return 1;
}

}  // namespace

int run_supervisor(int argc, char** argv) {
  std::string path = "/etc/vitrine/vitrined.toml";
  bool check = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--check") {
      check = true;
    } else if (word == "--config" && i + 1 < argc) {
      path = argv[++i];
    } else if (word == "--help" || word == "-h") {
      fmt::print("{}", kUsage);
      return 0;
    } else {
      fmt::print(stderr, "vitrined: {}: {}\n{}",
                 word == "--config" ? "it wants a file" : "there is no such option", word, kUsage);
      return 2;
    }
  }
  auto config = Config::load(path);
  if (!config) {
    (void)failed(config.error());
    return check ? 1 : EX_CONFIG;  // as systemd knows it: starting it again does not help
  }
  if (config->programs.empty()) {
    std::error_code error;
    config->programs = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  }
  if (config->rules.empty()) {
    if (auto usual = symptom::default_rules_folder(); !usual.empty())
      config->rules.push_back(std::move(usual));
  }
  if (check) {
    if (config->uses(Isolation::microvm)) {
      if (const auto image = chosen_image(*config); !image) return failed(image.error());
    }
    const auto pack = symptom::Pack::load(config->rules);
    for (const auto& problem : pack.problems()) log_line("vitrined", problem.message);
    for (const auto& problem : symptom::PatternSet::compile(pack).problems)
      log_line("vitrined", problem);
    for (const auto& remark : policy_remarks(*config, pack)) log_line("vitrined", remark);
    fmt::print("{} is right\n", path);
    return 0;
  }
  auto supervisor = Supervisor::create(std::move(*config));
  if (!supervisor) return failed(supervisor.error());
  if (const auto done = (*supervisor)->run(); !done) return failed(done.error());
  return 0;
}

}  // namespace vitrine::fvm
