#include "machine/entry_registers.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "machine/process_maps.h"
#include "machine/qemu_process.h"
#include "machine/qemu_ram.h"
#include "machine/qmp.h"

namespace vitrine {
namespace {

// In CPUX86State stand, of SegmentCache { u32 selector; u64 base; u32 limit, flags }: ldt, tr, gdt,
// idt; then u64 cr[5]. Distances are from gdt.base.
constexpr std::uint64_t kGdtLimit = 8, kIdtBase = 24, kIdtLimit = 32, kCr0 = 40, kCr4 = 72;
constexpr std::uint64_t kBefore = 24;  // tr.base lies that far before it
constexpr std::uint64_t kBehind = 80;
// The registers of the FPU and of vectors lie between these and the entry registers.
constexpr std::uint64_t kReach = 16 * kKiB;
// { u32 sysenter_cs; u64 sysenter_esp, sysenter_eip, star, vm_hsave, lstar, cstar, fmask }
constexpr std::uint64_t kEntrySize = 64, kSysenterEsp = 8, kSysenterEip = 16, kStar = 24,
                        kLstar = 40, kCstar = 48, kFmask = 56;
constexpr std::uint64_t kInterruptFlag = 1 << 9;
// Far above what QEMU has beside RAM; a mapping that is larger is somebody's memory.
constexpr std::uint64_t kMaxMapping = 256 * kMiB;
constexpr std::uint64_t kStep = 4 * kMiB;

std::uint64_t word(Bytes bytes, std::uint64_t at) {
  return load<std::uint64_t>(bytes, at).value_or(0);
}

/// `gdtr` is an offset in `bytes` with kBefore behind and kBehind ahead of it.
bool is_state_of(const x86::Registers& cpu, Bytes bytes, std::uint64_t gdtr) {
  return word(bytes, gdtr) == cpu.gdtr.base.value &&
         word(bytes, gdtr + kIdtBase) == cpu.idtr.base.value &&
         word(bytes, gdtr - kBefore) == cpu.tr.base && word(bytes, gdtr + kCr0) == cpu.cr0 &&
         word(bytes, gdtr + kCr4) == cpu.cr4 &&
         load<std::uint32_t>(bytes, gdtr + kGdtLimit) == cpu.gdtr.limit &&
         load<std::uint32_t>(bytes, gdtr + kIdtLimit) == cpu.idtr.limit;
}

/// Offset of the entry registers behind `gdtr`: where STAR is what it must be and FMASK holds off
/// interrupts, as every kernel has it.
std::optional<std::uint64_t> entry_behind(Bytes bytes, std::uint64_t gdtr, std::uint64_t star) {
  std::optional<std::uint64_t> found;
  const auto end = std::min<std::uint64_t>(bytes.size(), gdtr + kReach);
  for (auto at = gdtr + kBehind; at + kEntrySize <= end; at += 8) {
    if (word(bytes, at + kStar) != star) continue;
    const auto mask = word(bytes, at + kFmask);
    if ((mask & kInterruptFlag) == 0 || mask >> 32 != 0) continue;
    if (found) return std::nullopt;
    found = at;
  }
  return found;
}

/// A CPU that was never started has nothing yet.
bool is_started(const x86::Registers& cpu) { return cpu.long_mode() && cpu.gdtr.base; }

Problem unreadable(pid_t pid, int error) {
  return {error == EACCES || error == EPERM ? Errc::denied
          : error == ESRCH                  ? Errc::vanished
                                            : Errc::io,
          fmt::format("QEMU's own memory (process {}) cannot be read", pid)};
}

Problem not_one(std::size_t cpu, const char* where) {
  return {Errc::unsupported,
          fmt::format("the state of CPU {} is found {} in QEMU's memory", cpu, where)};
}

bool is_searched(const ProcessMapping& mapping, std::span<const HostRange> ram) {
  if (!mapping.readable || !mapping.writable || mapping.shared || mapping.executable) return false;
  if (mapping.inode != 0 || mapping.size() > kMaxMapping) return false;
  return std::ranges::none_of(ram, [&](const HostRange& range) {
    return range.hva < mapping.end && mapping.start < range.hva + range.range.size;
  });
}

}  // namespace

std::vector<CpuStatePlace> find_cpu_states(Bytes bytes, Hva at,
                                           std::span<const x86::Registers> cpus,
                                           std::uint64_t star) {
  std::vector<CpuStatePlace> found;
  if (bytes.size() < kBefore + kBehind) return found;
  for (auto gdtr = kBefore; gdtr + kBehind <= bytes.size(); gdtr += 8) {
    const auto base = word(bytes, gdtr);
    if (base == 0) continue;
    for (std::size_t cpu = 0; cpu < cpus.size(); ++cpu) {
      if (cpus[cpu].gdtr.base.value != base || !is_state_of(cpus[cpu], bytes, gdtr)) continue;
      if (const auto entry = entry_behind(bytes, gdtr, star))
        found.push_back({cpu, at + gdtr, at + *entry});
    }
  }
  return found;
}

Outcome<EntryRegisterReader> EntryRegisterReader::open(const Machine& machine) {
  const auto* process = machine.process();
  if (process == nullptr || process->monitors.empty()) {
    return std::unexpected(Problem(
        Errc::unsupported, "entry registers need a QEMU that runs here, and its QMP socket"));
  }
  return EntryRegisterReader(machine, process->pid);
}

Outcome<std::vector<EntryRegisters>> EntryRegisterReader::read(std::uint64_t star) {
  if (!memory_) {
    memory_ = FileDescriptor(
        ::open(fmt::format("/proc/{}/mem", pid_).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!memory_) return std::unexpected(unreadable(pid_, errno));
  }
  const auto cpus = TRY(machine_->registers());
  if (!holds(cpus)) TRY(find(cpus, star));
  std::vector<EntryRegisters> all(cpus.size());
  for (const auto& place : places_) {
    std::array<std::byte, kEntrySize> bytes{};
    const auto got =
        ::pread(memory_.get(), bytes.data(), bytes.size(), static_cast<off_t>(place.entry.value));
    if (got != static_cast<ssize_t>(bytes.size())) return std::unexpected(unreadable(pid_, errno));
    all[place.cpu] = {.sysenter_cs = load<std::uint32_t>(bytes, 0).value_or(0),
                      .sysenter_esp = word(bytes, kSysenterEsp),
                      .sysenter_eip = Gva(word(bytes, kSysenterEip)),
                      .star = word(bytes, kStar),
                      .lstar = Gva(word(bytes, kLstar)),
                      .cstar = Gva(word(bytes, kCstar)),
                      .fmask = word(bytes, kFmask)};
  }
  return all;
}

/// Whether the places that were found are still the states of these CPUs.
bool EntryRegisterReader::holds(std::span<const x86::Registers> cpus) const {
  const auto started = std::ranges::count_if(cpus, is_started);
  if (places_.size() != static_cast<std::size_t>(started)) return false;
  return std::ranges::all_of(places_, [&](const CpuStatePlace& place) {
    std::array<std::byte, kBefore + kBehind> bytes{};
    const auto got = ::pread(memory_.get(), bytes.data(), bytes.size(),
                             static_cast<off_t>(place.gdtr.value - kBefore));
    return got == static_cast<ssize_t>(bytes.size()) && place.cpu < cpus.size() &&
           is_state_of(cpus[place.cpu], bytes, kBefore);
  });
}

Outcome<void> EntryRegisterReader::find(std::span<const x86::Registers> cpus, std::uint64_t star) {
  places_.clear();
  auto qmp = TRY(Qmp::connect(machine_->process()->monitors.front()));
  const auto ram = TRY(ask_memory_map(*qmp));
  qmp.reset();
  std::vector<CpuStatePlace> found;
  std::vector<std::byte> buffer(kStep + kReach);
  for (const auto& mapping : TRY(read_process_maps(pid_))) {
    if (!is_searched(mapping, ram)) continue;
    for (auto at = mapping.start; at < mapping.end; at = at + kStep) {
      // The pieces overlap by what one state takes; who begins in the overlap is the next one's.
      const auto want = std::min<std::uint64_t>(mapping.end - at, buffer.size());
      const auto got = ::pread(memory_.get(), buffer.data(), want, static_cast<off_t>(at.value));
      if (got <= 0) break;  // a guard page, or it was unmapped
      const auto piece = Bytes(buffer).first(static_cast<std::size_t>(got));
      for (const auto& place : find_cpu_states(piece, at, cpus, star)) {
        // One place a CPU: the guest writes into some of this memory (that of its screen), and
        // could lay out any number.
        const auto known = std::ranges::find(found, place.cpu, &CpuStatePlace::cpu);
        if (known == found.end())
          found.push_back(place);
        else if (known->gdtr != place.gdtr && is_started(cpus[place.cpu]))
          return std::unexpected(not_one(place.cpu, "in more than one place"));
      }
    }
  }
  std::ranges::sort(found, {}, &CpuStatePlace::cpu);
  const auto distance = [](const CpuStatePlace& place) { return place.entry - place.gdtr; };
  for (std::size_t cpu = 0; cpu < cpus.size(); ++cpu) {
    const auto count = std::ranges::count(found, cpu, &CpuStatePlace::cpu);
    if (count == 1 || !is_started(cpus[cpu])) continue;
    return std::unexpected(not_one(cpu, "nowhere"));
  }
  for (const auto& place : found) {
    if (distance(place) != distance(found.front()))
      return std::unexpected(
          Problem(Errc::unsupported, "the states of the CPUs in QEMU's memory are of two shapes"));
  }
  places_ = std::move(found);
  return {};
}

}  // namespace vitrine
