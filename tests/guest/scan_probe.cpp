// What benches ask of the symptom floor that no command says.
//
//   scan_probe passes MACHINE RULES RUNS     times of full passes of an engine: the first, and
//   those after it scan_probe patterns MACHINE FILE RUNS    times of passes of YARA rules alone,
//   and every match in physical memory scan_probe processes MACHINE FILE RUNS   the same, and every
//   process's matches
#include <fmt/core.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string_view>

#include "linux/kernel.h"
#include "machine/open.h"
#include "symptom/engine.h"
#include "symptom/patterns/pattern_scanner.h"

namespace {

using namespace vitrine;
using Clock = std::chrono::steady_clock;

/// Of this process, all threads: what the work takes where a machine is shared.
double cpu_now() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

int complain(const Problem& problem) {
  fmt::print(stderr, "{}\n{}\n", problem.message, problem.hint);
  return 1;
}

int passes(linux::Kernel& kernel, const std::string& rules, int runs) {
  const std::vector<std::string> folders{rules};
  auto engine = symptom::Engine::create(kernel, symptom::Pack::load(folders), {});
  if (!engine) return complain(engine.error());
  for (int i = 0; i < runs; ++i) {
    const auto cpu = cpu_now();
    kernel.refresh();
    const auto report = (*engine)->pass({.all = true, .pids = {}});
    fmt::print(
        "{{\"pass\": {}, \"ms\": {:.2f}, \"cpu_ms\": {:.2f}, \"findings\": {}, \"notes\": {}}}\n",
        i, milliseconds(report.took), cpu_now() - cpu, report.known, report.notes.size());
    if (i + 1 < runs) continue;
    for (const auto& one : (*engine)->symptoms())
      fmt::print("{{\"symptom\": \"{}\", \"ms\": {:.2f}}}\n", one.name,
                 milliseconds(one.last_took));
  }
  return 0;
}

int patterns(linux::Kernel& kernel, const std::string& path, int runs, bool processes) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  std::vector<std::string> problems;
  auto rules = symptom::PatternRules::compile({{path, text.str()}}, problems);
  for (const auto& problem : problems) fmt::print(stderr, "{}\n", problem);
  if (rules == nullptr) return 1;
  symptom::PatternScanner scanner(kernel, *rules);
  for (int i = 0; i < runs; ++i) {
    symptom::PatternTally tally;
    const auto start = Clock::now();
    const auto cpu = cpu_now();
    const auto hits = scanner.scan_memory(tally);
    if (!hits) return complain(hits.error());
    const auto memory = Clock::now();
    const auto cpu_memory = cpu_now();
    const auto owned =
        processes ? scanner.scan_processes(tally) : std::vector<symptom::OwnedHits>();
    const auto end = Clock::now();
    fmt::print(
        "{{\"pass\": {}, \"ms\": {:.2f}, \"cpu_ms\": {:.2f}, \"processes_ms\": {:.2f}, "
        "\"processes_cpu_ms\": {:.2f}, \"pages\": {}, \"looked_at\": {}, \"candidates\": {}, "
        "\"given_mib\": {:.1f}}}\n",
        i, milliseconds(memory - start), cpu_memory - cpu, milliseconds(end - memory),
        cpu_now() - cpu_memory, tally.pages, tally.looked_at, tally.candidates,
        static_cast<double>(tally.given_bytes) / (1 << 20));
    if (i + 1 < runs) continue;
    const auto tell = [](const std::vector<symptom::PatternHit>& all, std::int64_t pid) {
      for (const auto& hit : all)
        for (const auto& match : hit.matches)
          fmt::print(
              "{{\"rule\": \"{}\", \"string\": \"{}\", \"offset\": {}, \"length\": {}, \"pid\": "
              "{}}}\n",
              match.rule, match.string, match.offset, match.length, pid);
    };
    tell(*hits, -1);
    for (const auto& one : owned) tell(one.hits, *one.pid);
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count != 5) return 2;
  const std::string_view what = words[1];
  const auto machine = open_machine(words[2]);
  if (!machine) return complain(machine.error());
  const auto kernel = linux::Kernel::attach(**machine, {});
  if (!kernel) return complain(kernel.error());
  const int runs = std::atoi(words[4]);
  if (what == "passes") return passes(**kernel, words[3], runs);
  if (what == "patterns" || what == "processes")
    return patterns(**kernel, words[3], runs, what == "processes");
  return 2;
}
