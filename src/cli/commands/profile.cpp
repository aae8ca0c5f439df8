// vitrine profile: where a guest's CPUs spend their time, from outside.
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

#include "cli/commands/families.h"
#include "cli/interrupt.h"
#include "cli/quantities.h"
#include "cli/session.h"
#include "probe/profile/flame_graph.h"
#include "probe/profile/stack_sampler.h"

namespace vitrine::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kHottest = 20;
constexpr unsigned kMostHertz = 1000;
constexpr std::chrono::seconds kForgetEvery{1};

struct Plan {
  std::chrono::nanoseconds duration = std::chrono::seconds(10);
  unsigned hertz = 99;
  std::string picture;  ///< a path; empty: none
  bool folded = false;
  probe::StackSampler::Options sampling;
};

Outcome<Plan> plan_of(const Arguments& words) {
  Plan plan;
  if (const auto text = words.value("--duration"))
    plan.duration = TRY(parse_duration("--duration", *text));
  if (const auto text = words.value("--hz")) {
    plan.hertz = static_cast<unsigned>(TRY(parse_number("--hz", *text, kMostHertz)));
    if (plan.hertz == 0) {
      return std::unexpected(Problem(Errc::invalid, "--hz: at least one look a second"));
    }
  }
  plan.picture = words.value("-o").value_or("");
  plan.folded = words.has("--folded");
  plan.sampling.idle = words.has("--idle");
  plan.sampling.user = !words.has("--kernel");
  return plan;
}

struct Taken {
  probe::StackCounts counts;
  probe::SampleTally tally;
  std::uint64_t looks = 0;  ///< at all CPUs
  std::uint64_t late = 0;   ///< looks that were due while one was still being taken
  double seconds = 0;
  std::optional<Problem> ended;  ///< why before its time

  /// What was taken, and how, in a sentence.
  [[nodiscard]] std::string words(unsigned hertz) const {
    auto text = fmt::format(
        "{} sample{} in {:.1f} s at {} Hz, from registers by the monitor, the guest not stopped",
        tally.counted, tally.counted == 1 ? "" : "s", seconds, hertz);
    if (tally.idle != 0) text += fmt::format("; {} times a CPU was idle", tally.idle);
    if (tally.torn != 0) text += fmt::format("; {} torn and left out", tally.torn);
    if (late != 0) text += fmt::format("; {} look{} late", late, late == 1 ? " was" : "s were");
    if (counts.lost() != 0) text += fmt::format("; {} lost for want of room", counts.lost());
    return text;
  }
};

Outcome<Taken> take(const Plan& plan, Session& session) {
  const auto* kernel = session.guest().kernel();
  if (kernel == nullptr || !session.machine().live()) {
    return std::unexpected(Problem(Errc::unsupported, "only a running machine can be profiled",
                                   "what an image's threads were doing: vitrine stack IMAGE"));
  }
  auto sampler = TRY(probe::StackSampler::open(*kernel, plan.sampling));
  Taken taken;
  const InterruptGuard guard;
  const auto begin = Clock::now();
  const auto period = std::chrono::nanoseconds(1'000'000'000 / plan.hertz);
  auto forget = begin + kForgetEvery;
  for (auto next = begin; next - begin < plan.duration && !InterruptGuard::interrupted();
       next += period) {
    const auto now = Clock::now();
    if (now > next + period) {
      const auto missed = (now - next) / period;
      taken.late += static_cast<std::uint64_t>(missed);
      next += missed * period;
    }
    std::this_thread::sleep_until(next);
    const auto registers = session.machine().registers();
    if (!registers) {
      if (taken.looks == 0) return std::unexpected(registers.error());
      taken.ended = registers.error();
      break;
    }
    ++taken.looks;
    sampler.take(*registers, taken.counts);
    if (next > forget) {
      session.guest().refresh();
      sampler.forget();
      forget = next + kForgetEvery;
    }
  }
  taken.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  taken.tally = sampler.tally();
  return taken;
}

void add_own(const std::string& name, const probe::StackCounts::Node& node,
             std::map<std::string, std::uint64_t>& own) {
  if (node.own != 0) own[name] += node.own;
  for (const auto& [callee, below] : node.callees) add_own(callee, below, own);
}

Problem unwritable(const std::string& path) {
  return {Errc::io, fmt::format("{} cannot be written: {}", path, std::strerror(errno))};
}

void print_hottest(const Taken& taken, Console& console) {
  std::map<std::string, std::uint64_t> own;
  for (const auto& [name, node] : taken.counts.root().callees) add_own(name, node, own);
  std::vector<std::pair<std::uint64_t, std::string>> hottest;
  for (const auto& [name, count] : own) hottest.emplace_back(count, name);
  std::ranges::sort(hottest, std::greater<>());
  if (hottest.size() > kHottest) hottest.resize(kHottest);
  console.out.write(fmt::format("{:>7} {:>8}  {}\n", "SHARE", "SAMPLES", "FUNCTION"));
  const auto total = static_cast<double>(std::max<std::uint64_t>(taken.counts.total(), 1));
  for (const auto& [count, name] : hottest) {
    console.out.write(fmt::format("{:>6.2f}% {:>8}  {}\n",
                                  100.0 * static_cast<double>(count) / total, count,
                                  escape(name, console.charset)));
  }
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto plan = TRY(plan_of(words));
  auto session = TRY(Session::open(context, words));
  // Before the sampling: who has sampled for an hour wants no word then about a missing folder.
  std::ofstream picture;
  if (!plan.picture.empty()) {
    picture.open(plan.picture, std::ios::binary | std::ios::trunc);
    if (!picture) return std::unexpected(unwritable(plan.picture));
  }
  auto taken = take(plan, session);
  if (!taken) return std::unexpected(explain(std::move(taken).error(), session));
  auto& console = context.console;
  if (!plan.picture.empty()) {
    picture << probe::flame_graph_svg(
        taken->counts, {.title = fmt::format("{}: where its CPUs are", session.machine().name()),
                        .subtitle = taken->words(plan.hertz)});
    if (!picture.flush()) return std::unexpected(unwritable(plan.picture));
    console.remark("the flame graph is in " + escape(plan.picture, console.charset));
  }
  if (plan.folded) {
    console.out.write(taken->counts.folded());
  } else if (plan.picture.empty() && taken->counts.total() != 0) {
    print_hottest(*taken, console);
  }
  console.remark(taken->words(plan.hertz));
  if (taken->counts.total() == 0 && taken->tally.idle != 0)
    console.remark("no CPU did anything at any look: --idle counts those that wait, too");
  if (taken->ended) return std::unexpected(explain(std::move(*taken->ended), session));
  TRY(session.still_there());
  return session.status();
}

}  // namespace

Command profile_command() {
  return {
      .name = "profile",
      .group = "Watch",
      .summary = "where a guest's CPUs spend their time: a flame graph",
      .operands = {{"VM", Words::machine}},
      .options = {{"--duration", "TIME", "how long: 10s, 500ms, 2m ... (10s)"},
                  {"--hz", "N", "looks a second at each CPU, up to 1000 (99)", Words::number},
                  {"-o", "FILE", "draw a flame graph, as SVG", Words::path},
                  {"--folded", "",
                   "stacks and how often each was seen, a line each, for other tools"},
                  {"--kernel", "", "the kernel's frames alone"},
                  {"--idle", "", "count halted CPUs, too"},
                  {"--no-cache", "", "recover the kernel's symbols and types anew"}},
      .description =
          "Samples every CPU by its registers, which the monitor tells, and walks its stack in the "
          "guest's memory: nothing is installed in the guest, and it is not stopped. As it runs on "
          "meanwhile, samples whose registers and memory do not fit are left out and counted. "
          "Under "
          "TCG the registers are those at the last border between translated blocks. Without -o "
          "and "
          "--folded the hottest functions are listed; names that end in _[k] are the kernel's.",
      .examples = {"vitrine profile web1 -o web1.svg",
                   "vitrine profile web1 --duration 30s --folded > web1.folded"},
      .run = run};
}

}  // namespace vitrine::cli
