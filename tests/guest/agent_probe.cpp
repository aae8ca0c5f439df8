// Runs a script by the agent alone and prints what comes, for tests and benches: no session, no
// planner, no formatting that could hide what the agent said.
//
//   agent_probe watch MACHINE SCRIPT [SECONDS]  a line of JSON for each record; maps and losses at
//   the end.
//                                               Ends after SECONDS, or when its standard input
//                                               closes.
//   agent_probe plan MACHINE SCRIPT             the offers
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>

#include "linux/kernel.h"
#include "machine/qemu_machine.h"
#include "machine/qemu_process.h"
#include "probe/agent/agent_source.h"
#include "probe/kernel_ports.h"
#include "probe/record.h"
#include "vmipl/check.h"
#include "vmipl/render.h"

namespace {

using namespace vitrine;
using namespace vitrine::probe;

int complain(const Problem& problem) {
  fmt::print(stderr, "{}{}{}\n", problem.message, problem.hint.empty() ? "" : "; ", problem.hint);
  return 1;
}

std::string words(const Value& value) {
  if (!value.there) return "null";
  if (!value.textual) return fmt::format("{}", value.number);
  std::string text = "\"";
  for (const char c : value.text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\')
      text += fmt::format("\\u{:04x}", byte);
    else
      text += c;
  }
  return text + '"';
}

class Printer final : public EventSink {
 public:
  Printer(const linux::Kernel& kernel, bool quiet) : kernel_(kernel), quiet_(quiet) {}
  void records(Bytes bytes) override {
    const std::lock_guard lock(mutex_);
    ++count_;
    const auto record = decode(bytes);
    if (!record) {
      fmt::print("{{\"broken\": \"{}\"}}\n", record.error().what);
      return;
    }
    if (quiet_) return;
    std::string values;
    for (const auto& value : record->values) values += (values.empty() ? "" : ", ") + words(value);
    fmt::print(
        "{{\"probe\": {}, \"site\": {}, \"cpu\": {}, \"sequence\": {}, \"time\": {}, \"pid\": {}, "
        "\"tid\": {}, \"process\": {}, \"values\": [{}]}}\n",
        record->head.probe, record->head.site, record->head.cpu, record->head.sequence,
        record->head.monotonic_ns, record->head.pid, record->head.tid,
        words(ValueView::of(record->head.name())), values);
  }
  void fire(HeldFiring& firing) override {
    const std::lock_guard lock(mutex_);
    const auto* registers = firing.registers();
    fmt::print("{{\"held\": {}, \"cpu\": {}, \"rip\": {}}}\n", firing.probe, firing.cpu.value_or(0),
               registers != nullptr ? registers->rip : 0);
    std::fflush(stdout);
    if (const char* wait = std::getenv("HELD_MS"))
      ::usleep(static_cast<useconds_t>(std::atoi(wait)) * 1000);
  }
  void stream(std::uint32_t, Bytes) override {}
  void note(SourceNote note) override {
    const std::lock_guard lock(mutex_);
    fmt::print("{{\"note\": {}, \"text\": {}}}\n", static_cast<int>(note.kind),
               words(ValueView::of(std::string_view(note.text))));
    std::fflush(stdout);
  }
  void modules_changed(const std::function<void()>& look) override {
    kernel_.forget_modules();
    look();
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  const linux::Kernel& kernel_;
  bool quiet_;
  std::mutex mutex_;
  std::uint64_t count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4)
    return complain({Errc::invalid, "agent_probe watch|count|plan MACHINE SCRIPT [SECONDS]"});
  const std::string_view what = argv[1];
  const auto process = find_qemu(argv[2]);
  if (!process) return complain(process.error());
  auto machine = open_qemu(*process);
  if (!machine) return complain(machine.error());
  auto kernel =
      linux::Kernel::attach(**machine, {.cache_directory = linux::default_cache_directory()});
  if (!kernel) return complain(kernel.error());
  const KernelPorts ports(**kernel);

  std::ifstream file(argv[3], std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  if (!file.is_open()) text = argv[3];  // the script itself
  const vmipl::Source source("script", text);
  vmipl::Diagnostics diagnostics;
  const auto checked = vmipl::check(
      source, {.ports = ports.ports(), .allow_writes = true, .allow_control = true, .build = true},
      diagnostics);
  if (!checked.program) {
    fmt::print(stderr, "{}", vmipl::render_json(source, diagnostics));
    return 1;
  }
  auto program = std::make_shared<vmipl::Program>(*checked.program);
  std::vector<std::string> problems;
  if (!vmipl::bind(*program, ports.ports(), problems))
    return complain({Errc::not_found, problems.front()});

  const auto began = std::chrono::steady_clock::now();
  AgentSourceOptions options;
  if (const char* bytes = std::getenv("RING_BYTES"))
    options.ring_bytes = static_cast<std::uint32_t>(std::strtoul(bytes, nullptr, 10));
  if (const char* limit = std::getenv("RATE_LIMIT"))
    options.settings.rate_limit = std::strtoull(limit, nullptr, 10);
  auto agent = AgentSource::open(*process, **kernel, options);
  if (!agent) return complain(agent.error());
  Assignment mine{program, {}};
  const auto offers = (*agent)->offers(*program);
  for (std::uint32_t i = 0; i < offers.size(); ++i) {
    if (what == "plan")
      fmt::print("{} {} | {} | {} | {}\n", i, name(offers[i].cost),
                 offers[i].possible ? "yes" : "no", offers[i].mechanism, offers[i].reason);
    if (offers[i].possible) mine.probes.push_back(i);
  }
  if (what == "plan") return 0;
  auto* maps = (*agent)->maps(*program);
  Printer printer(**kernel, what == "count");
  if (auto started = (*agent)->start(mine, printer); !started) return complain(started.error());
  const auto took =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  fmt::print("{{\"started_ms\": {:.2f}}}\n", took);
  std::fflush(stdout);
  if (what == "replace") {
    // The same script again and again, until the input closes: nothing may be missed or seen twice.
    pollfd end{STDIN_FILENO, POLLIN, 0};
    unsigned times = 0;
    while (::poll(&end, 1, 150) == 0) {
      auto again = (*agent)->replace({std::make_shared<vmipl::Program>(*program), mine.probes});
      if (!again) return complain(again.error());
      ++times;
    }
    fmt::print("{{\"replaced\": {}}}\n", times);
    (*agent)->stop();
    const auto lost = (*agent)->losses();
    fmt::print("{{\"records\": {}, \"lost\": {}, \"firings_lost\": {}}}\n", printer.count(),
               lost.records, lost.firings);
    return 0;
  }
  pollfd input{STDIN_FILENO, POLLIN, 0};
  const int limit = argc > 4 ? static_cast<int>(std::atof(argv[4]) * 1000) : -1;
  char byte = 0;
  while (::poll(&input, 1, limit) > 0 && ::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  for (unsigned map = 0; map < program->maps.size(); ++map) {
    for (const auto& row : maps->snapshot(map)) {
      std::string keys;
      for (const auto& key : row.keys) keys += (keys.empty() ? "" : ", ") + words(key);
      fmt::print("{{\"map\": \"{}\", \"keys\": [{}], \"value\": {}, \"count\": {}, \"sum\": {}}}\n",
                 program->maps[map].name, keys, words(row.value), row.count, row.sum);
    }
  }
  (*agent)->stop();
  const auto losses = (*agent)->losses();
  fmt::print("{{\"records\": {}, \"lost\": {}, \"firings_lost\": {}}}\n", printer.count(),
             losses.records, losses.firings);
  return 0;
}
