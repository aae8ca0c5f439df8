// watch_probe VM SCRIPT [--sources NAMES] [--poll MS] [--out FOLDER]: plans a script over the named
// event sources, runs it until its standard input ends, and prints what the sources deliver, a
// line of JSON each. The tests beside it hold that against the guest's own account. It runs no
// block: sources are tested by themselves.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "linux/kernel.h"
#include "machine/open.h"
#include "probe/gdb/gdb_source.h"
#include "probe/kernel_ports.h"
#include "probe/planner.h"
#include "probe/polling/polling_source.h"
#include "probe/streams/stream_source.h"
#include "vmipl/catalogue.h"
#include "vmipl/check.h"
#include "vmipl/render.h"

namespace {

using namespace vitrine;
using namespace vitrine::probe;
using Json = nlohmann::json;

std::string latin1(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80)
      text += c;
    else
      text += {static_cast<char>(0xc0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3f))};
  }
  return text;
}

Json value(const Told& told) {
  switch (told.state) {
    case Told::unknown:
      return "unknown";
    case Told::missing:
      return nullptr;
    case Told::number:
      return told.number_value;
    case Told::text:
      return latin1(told.text_value);
  }
  return nullptr;
}

class Printer final : public EventSink {
 public:
  Printer(const vmipl::Program& program, std::string folder)
      : program_(program), folder_(std::move(folder)) {}

  void records(Bytes) override {}
  void fire(HeldFiring& firing) override {
    const auto& info = vmipl::probes()[program_.probes[firing.probe].probe];
    Json line{{"fire", firing.probe}, {"name", info.name}, {"time", firing.monotonic_ns}};
    if (firing.cpu) line["cpu"] = *firing.cpu;
    if (firing.subject) line["subject"] = firing.subject->value;
    for (unsigned i = 0; i < info.fields.size(); ++i)
      line["event"][std::string(info.fields[i].name)] = value(firing.field(i));
    for (unsigned i = 0; i < vmipl::moments().size(); ++i) {
      const auto& moment = vmipl::moments()[i];
      const auto told = firing.moment(i);
      if (told.state == Told::unknown || told.state == Told::missing) continue;
      line["moment"][fmt::format("{}{}{}", moment.group, moment.group.empty() ? "" : ".",
                                 moment.name)] = value(told);
    }
    if (const auto* registers = firing.registers()) {
      line["rip"] = registers->rip;
      line["rsp"] = registers->gpr[x86::kRsp];
      line["rax"] = registers->gpr[x86::kRax];
      line["cr3"] = registers->cr3;
    }
    print(line);
  }
  void stream(std::uint32_t probe, Bytes bytes) override {
    const std::lock_guard lock(mutex_);
    std::ofstream file(fmt::format("{}/stream-{}", folder_, probe),
                       std::ios::app | std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  void note(SourceNote note) override {
    constexpr const char* kKinds[] = {"word", "thinned", "switched_off", "guest_reset",
                                      "source_ended"};
    Json line{{"note", kKinds[note.kind]}, {"text", note.text}};
    if (note.probe) line["probe"] = *note.probe;
    print(line);
  }
  void print(const Json& line) {
    const std::lock_guard lock(mutex_);
    std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }

 private:
  const vmipl::Program& program_;
  std::string folder_;
  std::mutex mutex_;
};

[[noreturn]] void give_up(const Problem& problem) {
  std::cout << Json{{"problem", problem.message},
                    {"hint", problem.hint},
                    {"code", name(problem.code)}}
                   .dump()
            << std::endl;
  std::exit(1);
}

}  // namespace

int main(int count, char** words) {
  std::string sources_named = "polling,streams", folder = ".";
  PollingOptions polling;
  SourceSettings settings;
  if (count < 3) return 2;
  for (int i = 3; i + 1 < count; i += 2) {
    const std::string word = words[i];
    if (word == "--sources") sources_named = words[i + 1];
    if (word == "--poll") settings.poll_period = std::chrono::milliseconds(std::stoi(words[i + 1]));
    if (word == "--rate") settings.rate_limit = std::stoull(words[i + 1]);
    if (word == "--out") folder = words[i + 1];
  }
  polling.settings = settings;
  auto machine = open_machine(words[1]);
  if (!machine) give_up(machine.error());
  auto kernel = linux::Kernel::attach(**machine, polling.attach);
  if (!kernel) give_up(kernel.error());
  const KernelPorts ports(**kernel);
  const vmipl::Source source("script.vmi", words[2]);
  vmipl::Diagnostics diagnostics;
  auto checked = vmipl::check(source, {.ports = ports.ports()}, diagnostics);
  if (!checked.program) give_up({Errc::invalid, vmipl::render_text(source, diagnostics)});
  auto program = std::make_shared<vmipl::Program>(*std::move(checked.program));
  std::vector<std::string> problems;
  if (!vmipl::bind(*program, ports.ports(), problems)) give_up({Errc::invalid, problems.front()});

  std::vector<std::unique_ptr<EventSource>> sources;
  if (sources_named.find("polling") != std::string::npos)
    sources.push_back(polling_source(**machine, polling));
  GdbOptions gdb;
  gdb.settings = settings;
  if (sources_named.find("gdbstub") != std::string::npos)
    sources.push_back(gdb_source(**machine, gdb));
  if (sources_named.find("streams") != std::string::npos)
    sources.push_back(stream_source(**machine));
  std::vector<EventSource*> pointers;
  for (const auto& one : sources) pointers.push_back(one.get());

  Printer printer(*program, folder);
  const auto made = plan(*program, pointers);
  for (const auto& probe : made.probes) {
    printer.print({{"plan", probe.written},
                   {"source", probe.source_name},
                   {"mechanism", probe.offer.mechanism},
                   {"reason", probe.offer.reason},
                   {"remedy", probe.offer.remedy}});
  }
  if (!made.complete()) return 3;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (const auto mine = made.of(i); !mine.empty()) {
      if (const auto started = sources[i]->start({program, mine}, printer); !started)
        give_up(started.error());
    }
  }
  printer.print({{"started", true}});
  for (std::string line; std::getline(std::cin, line);) {
  }
  for (const auto& one : sources) {
    one->stop();
    const auto losses = one->losses();
    for (const auto& word : losses.words) printer.print({{"loss", word}});
    if (losses.firings + losses.records != 0)
      printer.print({{"lost", losses.firings + losses.records}});
  }
  printer.print({{"stopped", true}});
  return 0;
}
