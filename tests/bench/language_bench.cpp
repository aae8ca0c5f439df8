// What ./dev bench language measures in one process: figures as JSON lines, results checked.
//
//   language_bench interpreter        operations and map changes, alternating with an empty loop
//   language_bench start SCRIPT VM    parse to ready on an attached kernel
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>
#include <vector>

#include "linux/kernel.h"
#include "machine/open.h"
#include "probe/interpreter.h"
#include "probe/kernel_ports.h"
#include "probe/maps.h"
#include "probe/run_session.h"
#include "vmipl/check.h"

namespace {

using namespace vitrine;
using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& why) {
  fmt::print(stderr, "language_bench: {}\n", why);
  std::exit(1);
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}
/// Of this thread alone: other work on the machine is not counted.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}
double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

std::shared_ptr<const vmipl::Program> compile(const std::string& text,
                                              const vmipl::Ports& ports = {}) {
  const vmipl::Source source("bench.vmi", text);
  vmipl::Diagnostics diagnostics;
  auto checked =
      vmipl::check(source, {.ports = ports, .allow = {"all"}, .build = true}, diagnostics);
  if (!checked.program)
    fail("does not compile: " +
         (diagnostics.items().empty() ? text : diagnostics.items().front().message));
  return std::make_shared<const vmipl::Program>(std::move(*checked.program));
}

struct Nothing final : probe::Environment {
  bool emit(unsigned, std::span<const probe::ValueView>) noexcept override { return true; }
};

struct Ran {
  double seconds = 0;
  std::uint64_t spent = 0;
  std::unique_ptr<probe::LocalMaps> maps;
};

Ran run(const vmipl::Program& program) {
  Ran ran;
  ran.maps = std::move(*probe::LocalMaps::create(program.maps));
  probe::Interpreter interpreter(program, *ran.maps);
  Nothing nothing;
  const auto begin = cpu_seconds();
  const auto firing = interpreter.run(0, nothing, ~0ULL);
  ran.seconds = cpu_seconds() - begin;
  ran.spent = firing.spent;
  if (firing.end != probe::Firing::End::done) fail("did not end by itself");
  return ran;
}

constexpr int kRuns = 9;

void interpreter() {
  constexpr std::uint64_t kRounds = 1'000'000;
  // Every operation's result goes into the last one: nothing can be left out.
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < kRounds; ++i)
    x = ((x * 6364136223846793005ULL + i) ^ (x >> 17)) & 0x7fffffffffffffffULL;
  const auto simple =
      compile(fmt::format("Start {{ let x = 1 for (i in 0..{}) {{ x = ((x * 6364136223846793005 + "
                          "i) ^ (x >> 17)) & 0x7fffffffffffffff }} @x = x }}",
                          kRounds));
  std::vector<double> rates;
  for (int i = 0; i < kRuns; ++i) {
    const auto ran = run(*simple);
    if (ran.maps->get(0, {}) != x) fail("another result than the processor's");
    rates.push_back(static_cast<double>(ran.spent) / ran.seconds);
  }
  fmt::print("{{\"what\":\"operations_per_second\",\"median\":{:.0f},\"worst\":{:.0f}}}\n",
             median(rates), *std::min_element(rates.begin(), rates.end()));

  struct Kind {
    const char* name;
    const char* statement;
  };
  for (const auto& [name, statement] :
       {Kind{"count, number key", "@m[i & 1023] = count()"},
        Kind{"+=, number key", "@m[i & 1023] += 1"}, Kind{"count, text key", "@m[t] = count()"},
        Kind{"histogram, number key", "@m[i & 1023] = histogram(i)"},
        Kind{"count, two keys", "@m[i & 15, i & 63] = count()"}}) {
    const auto loop = [&](const char* body) {
      return compile(fmt::format(
          "Start {{ let t = \"systemd-journal\" for (i in 0..{}) {{ {} }} @t = len(t) }}", kRounds,
          body));
    };
    const auto with = loop(statement), without = loop("");
    std::vector<double> costs;
    for (int i = 0; i < kRuns; ++i) {
      const auto a = run(*with);
      const auto b = run(*without);
      std::uint64_t total = 0;
      for (const auto& row : a.maps->snapshot(0))
        total += row.count != 0 ? row.count : row.value.number;
      if (total != kRounds || a.maps->lost(0) != 0)
        fail(fmt::format("{}: {} of {} changes", name, total, kRounds));
      costs.push_back((a.seconds - b.seconds) / kRounds * 1e9);
    }
    fmt::print("{{\"what\":\"map {}\",\"median\":{:.1f},\"worst\":{:.1f}}}\n", name, median(costs),
               *std::max_element(costs.begin(), costs.end()));
  }
}

void start(const std::string& path, const std::string& vm) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  auto machine = open_machine(vm);
  if (!machine) fail(machine.error().message);
  auto kernel =
      linux::Kernel::attach(**machine, {.cache_directory = linux::default_cache_directory()});
  if (!kernel) fail(kernel.error().message);
  const probe::KernelPorts ports(**kernel);
  (void)compile("Start { Print(\"x\") }", ports.ports());
  std::vector<double> times, walls, checks;
  for (int i = 0; i < kRuns; ++i) {
    std::uint64_t printed = 0;
    probe::Outputs outputs({.standard =
                                [&](std::string_view) {
                                  ++printed;
                                  return true;
                                },
                            .flush = {},
                            .remark = [](std::string_view) {}});
    // A run has ports of its own: what they remember is asked for anew.
    const probe::KernelPorts fresh(**kernel);
    const auto begin = Clock::now();
    const auto begin_cpu = cpu_seconds();
    auto program = compile(text.str(), fresh.ports());
    checks.push_back((cpu_seconds() - begin_cpu) * 1e3);
    probe::RunSession session(probe::host_guest(**machine, **kernel), {}, nullptr, outputs, {});
    if (auto begun = session.start(program); !begun) fail(begun.error().message);
    times.push_back((cpu_seconds() - begin_cpu) * 1e3);
    walls.push_back(seconds_since(begin) * 1e3);
    session.stop();
    if (printed == 0) fail("the script printed nothing");
  }
  fmt::print("{{\"what\":\"parse to program\",\"median\":{:.2f},\"worst\":{:.2f}}}\n",
             median(checks), *std::max_element(checks.begin(), checks.end()));
  fmt::print("{{\"what\":\"parse to ready, wall clock\",\"median\":{:.2f},\"worst\":{:.2f}}}\n",
             median(walls), *std::max_element(walls.begin(), walls.end()));
  fmt::print("{{\"what\":\"parse to ready\",\"median\":{:.2f},\"worst\":{:.2f}}}\n", median(times),
             *std::max_element(times.begin(), times.end()));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && words[0] == "interpreter")
    interpreter();
  else if (words.size() == 3 && words[0] == "start")
    start(words[1], words[2]);
  else
    fail("interpreter | start SCRIPT VM");
}
