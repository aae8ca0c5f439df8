// machine_probe --list: what list_machines() says, a line each.
// machine_probe NAME_OR_PATH [LAYOUT [no-monitor]]: opens a machine as every command does, then
// answers questions on its standard input, a line each. The tests beside it drive it and hold its
// answers against QEMU's own monitor.
//
//   ram | map | notes | warnings | alive | name          read GPA SIZE (hex digits, or an error's
//   name) registers                                      populated (every stretch) batch GPA SIZE
//   COUNT STRIDE                    bench
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/problem.h"
#include "machine/open.h"
#include "machine/summary.h"

namespace {

using namespace vitrine;

std::string hex(Bytes bytes) {
  std::string text;
  for (const auto byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

template <class F>
double seconds(F&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void bench(const PhysicalMemory& memory) {
  std::vector<Gpa> places;
  std::vector<GpaRange> filled;
  std::uint64_t bytes = 0;
  for (auto stretch = memory.next_populated(Gpa{0}); stretch;
       stretch = memory.next_populated(stretch->end())) {
    filled.push_back(*stretch);
    bytes += stretch->size;
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; ++i) {
    const auto& stretch = filled[random() % filled.size()];
    places.push_back(stretch.start + random() % (stretch.size / 8) * 8);
  }
  std::uint64_t sum = 0;
  const auto random_reads = [&] {
    for (const auto at : places) sum += memory.load<std::uint64_t>(at).value_or(0);
  };
  const auto first = seconds(random_reads);  // touches each page for the first time
  const auto one = seconds(random_reads);
  std::vector<std::uint64_t> values(512);
  const auto batched = seconds([&] {
    for (std::size_t i = 0; i + 512 <= places.size(); i += 512) {
      std::vector<BatchRead> batch;
      for (std::size_t k = 0; k < 512; ++k)
        batch.push_back({places[i + k], writable_bytes_of(values[k])});
      sum += memory.read_batch(batch);
    }
  });
  std::vector<std::byte> buffer(kMiB);
  std::uint64_t done = 0;
  const auto sequential = seconds([&] {
    for (const auto& stretch : filled) {
      for (std::uint64_t at = 0; at < stretch.size; at += kMiB) {
        const auto size = std::min(kMiB, stretch.size - at);
        if (memory.read(stretch.start + at, MutableBytes(buffer).first(size))) done += size;
      }
    }
  });
  const auto walk = seconds([&] {
    for (auto stretch = memory.next_populated(Gpa{0}); stretch;
         stretch = memory.next_populated(stretch->end())) {
      sum += stretch->size;
    }
  });
  fmt::print(
      "random 8 bytes {:.3f} us (at first touch {:.3f}), batched {:.3f} us; sequential {:.2f} GB/s "
      "over {} MiB in {} stretches; "
      "next_populated walk {:.2f} ms ({})\n",
      one / 1e5 * 1e6, first / 1e5 * 1e6, batched / 99840 * 1e6,
      static_cast<double>(done) / sequential / 1e9, bytes >> 20, filled.size(), walk * 1e3,
      sum & 1);
}

void answer(Machine& machine, const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  words >> verb;
  const auto& memory = machine.memory();
  if (verb == "ram") {
    for (const auto& range : memory.ram())
      fmt::print("{:x}-{:x} ", range.start.value, range.end().value);
    fmt::print("\n");
  } else if (verb == "notes" || verb == "warnings") {
    fmt::print("{}\n", fmt::join(verb == "notes" ? machine.notes() : machine.warnings(), " | "));
  } else if (verb == "alive") {
    fmt::print("{}\n", machine.alive());
  } else if (verb == "map") {
    constexpr std::array kWords = {"told", "verified", "inferred"};
    fmt::print("{} {}\n", kWords[static_cast<std::size_t>(machine.map_source())],
               fmt::join(machine.layouts(), " | "));
  } else if (verb == "name") {
    fmt::print("{}\n", machine.name());
  } else if (verb == "read") {
    std::uint64_t at = 0, size = 0;
    words >> std::hex >> at >> size;
    std::vector<std::byte> bytes(std::min<std::uint64_t>(size, 64 * kMiB));
    const auto done = memory.read(Gpa{at}, bytes);
    fmt::print("{}\n", done ? hex(bytes) : describe(done.error()));
  } else if (verb == "batch") {
    std::uint64_t at = 0, size = 0, count = 0, stride = 0;
    words >> std::hex >> at >> size >> count >> stride;
    std::vector<std::vector<std::byte>> bytes(count, std::vector<std::byte>(size));
    std::vector<BatchRead> batch;
    for (std::uint64_t i = 0; i < count; ++i) batch.push_back({Gpa{at + i * stride}, bytes[i]});
    fmt::print("{}", memory.read_batch(batch));
    for (std::uint64_t i = 0; i < count; ++i) fmt::print(" {}", batch[i].ok ? hex(bytes[i]) : "-");
    fmt::print("\n");
  } else if (verb == "registers") {
    const auto all = machine.registers();
    if (!all) {
      fmt::print("{}: {}\n", name(all.error().code), all.error().message);
      return;
    }
    for (const auto& r : *all) {
      fmt::print(
          "rip={:x} rsp={:x} cr0={:x} cr3={:x} cr4={:x} efer={:x} idt={:x} gs={:x} cs={:x} "
          "halted={} ",
          r.rip, r.gpr[x86::kRsp], r.cr0, r.cr3, r.cr4, r.efer, r.idtr.base.value, r.gs.base,
          r.cs.selector, r.halted);
    }
    fmt::print("\n");
  } else if (verb == "populated") {
    for (auto stretch = memory.next_populated(Gpa{0}); stretch;
         stretch = memory.next_populated(stretch->end())) {
      fmt::print("{:x}-{:x} ", stretch->start.value, stretch->end().value);
    }
    fmt::print("\n");
  } else if (verb == "bench") {
    bench(memory);
  } else {
    fmt::print("?\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    for (const auto& one : list_machines()) {
      fmt::print(
          "{} pid={} user={} type={} accel={} memory={} vcpus={} monitor={} state={} ram={} "
          "remark={}\n",
          one.name, one.pid, one.user, one.machine_type, one.accelerator, one.memory_bytes,
          one.vcpus, one.monitor, one.state, one.ram, one.remark);
    }
    return 0;
  }
  if (argc < 2 || argc > 4) return 2;
  OpenOptions options;
  if (argc > 2) options.layout = std::strtoul(argv[2], nullptr, 10);
  if (argc > 3) options.use_monitor = std::string_view(argv[3]) != "no-monitor";
  Outcome<std::unique_ptr<vitrine::Machine>> machine;
  const auto open_seconds = seconds([&] { machine = open_machine(argv[1], options); });
  if (!machine) {
    fmt::print("{}: {} ({})\n", name(machine.error().code), machine.error().message,
               machine.error().hint);
    return 1;
  }
  fmt::print("open {:.2f} ms\n", open_seconds * 1e3);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    answer(**machine, line);
    std::fflush(stdout);
  }
  return 0;
}
