#include "machine/qemu_ram.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "machine/size_words.h"
#include "memory/joined_memory.h"
#include "memory/process_memory.h"
#include "memory/shared_mapping.h"

namespace vitrine {
namespace {

constexpr Gpa kLowMemoryEnd{kMiB};
constexpr GpaRange kFirmware{Gpa{4 * kGiB - 16 * kMiB}, 16 * kMiB};
constexpr std::size_t kMostRamRanges = 4096;

/// A part of one range that lies in one mapping of the process.
struct Piece {
  GpaRange range;
  Hva hva;
  const ProcessMapping* mapping = nullptr;
};

Outcome<std::vector<Piece>> split_at_mappings(const std::vector<HostRange>& ranges,
                                              const std::vector<ProcessMapping>& maps) {
  std::vector<Piece> pieces;
  for (const auto& range : ranges) {
    std::uint64_t done = 0;
    while (done < range.range.size) {
      const auto* mapping = mapping_at(maps, range.hva + done);
      if (mapping == nullptr || !mapping->readable) {
        return std::unexpected(Problem(
            Errc::malformed,
            fmt::format("guest RAM at {:#x} ({}) is not mapped in QEMU at {:#x}",
                        (range.range.start + done).value, range.region, (range.hva + done).value)));
      }
      const auto take = std::min(range.range.size - done, mapping->end - (range.hva + done));
      pieces.push_back({{range.range.start + done, take}, range.hva + done, mapping});
      done += take;
    }
  }
  return pieces;
}

bool is_file_of(int file, const ProcessMapping& mapping) {
  struct stat status{};
  if (::fstat(file, &status) != 0 || status.st_ino != mapping.inode) return false;
  // A device (DAX) has no size to be mapped by; it is read through the process.
  if (!S_ISREG(status.st_mode)) return false;
  // Some file systems (btrfs, overlayfs) show another device to stat than in maps; the
  // inode and the name decide then.
  return true;
}

std::string read_link(const std::string& path) {
  std::array<char, 4096> target;
  const auto size = ::readlink(path.c_str(), target.data(), target.size());
  return size < 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(size));
}

/// Opens the very file behind a mapping, for reading only.
std::optional<FileDescriptor> open_mapped_file(pid_t pid, const ProcessMapping& mapping) {
  std::vector<std::string> candidates = {
      fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapping.start.value, mapping.end.value)};
  const auto folder = fmt::format("/proc/{}/fd", pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> descriptors(::opendir(folder.c_str()), &::closedir);
  while (const auto* entry = descriptors ? ::readdir(descriptors.get()) : nullptr) {
    const auto path = fmt::format("{}/{}", folder, entry->d_name);
    if (read_link(path) == mapping.path) candidates.push_back(path);
  }
  if (mapping.path.starts_with('/') && !mapping.path.ends_with(" (deleted)")) {
    candidates.push_back(fmt::format("/proc/{}/root{}", pid, mapping.path));
    candidates.push_back(mapping.path);
  }
  for (const auto& candidate : candidates) {
    if (auto file = open_for_reading(candidate); file && is_file_of(file->get(), mapping)) {
      return std::move(*file);
    }
  }
  return std::nullopt;
}

}  // namespace

std::string hint_when_denied(std::optional<std::uint32_t> other_user, std::string_view scope) {
  if (scope == "3") {
    return "kernel.yama.ptrace_scope is 3, which closes every process to every other, even to "
           "root, until the next boot: start QEMU with a memory-backend-memfd,share=on or with a "
           "QMP socket";
  }
  if (other_user) {
    // What to do comes first: `vms` has not always room for more.
    return fmt::format("use sudo, or give this program CAP_SYS_PTRACE: it runs as uid {}",
                       *other_user);
  }
  if (scope.empty() || scope == "0") return "run as root, or give this program CAP_SYS_PTRACE";
  return fmt::format(
      "kernel.yama.ptrace_scope is {}: use sudo, give this program CAP_SYS_PTRACE, or start QEMU "
      "with a memory-backend-memfd,share=on",
      scope);
}

Problem ram_problem(pid_t pid, const Error& error) {
  if (error.code == Errc::vanished)
    return {Errc::vanished, fmt::format("QEMU (pid {}) is gone", pid)};
  if (error.code != Errc::denied) {
    return {error.code,
            fmt::format("the RAM of QEMU (pid {}) cannot be read: {}", pid, describe(error))};
  }
  struct stat status{};
  const bool known = ::stat(fmt::format("/proc/{}", pid).c_str(), &status) == 0;
  const bool other_user = known && status.st_uid != ::geteuid();
  const auto scope = read_proc_file("/proc/sys/kernel/yama/ptrace_scope", 64);
  const auto hint =
      hint_when_denied(other_user ? std::optional(status.st_uid) : std::nullopt,
                       scope ? std::string_view(*scope).substr(0, scope->find('\n')) : "");
  return {Errc::denied, fmt::format("no permission to read the RAM of QEMU (pid {})", pid), hint};
}

std::vector<FlatRange> choose_ram(const std::vector<FlatRange>& view) {
  std::vector<FlatRange> chosen;
  for (const auto& one : view) {
    if (!one.ram) continue;
    const bool low = one.range.end() <= kLowMemoryEnd;
    const bool firmware = one.range.start >= kFirmware.start && one.range.end() <= kFirmware.end();
    if (low || (!one.readonly && one.priority == 0 && !firmware)) chosen.push_back(one);
  }
  return chosen;
}

Outcome<std::vector<HostRange>> ask_memory_map(Qmp& qmp) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto text = TRY(qmp.human("info mtree -f"));
    const auto chosen = choose_ram(TRY(parse_flat_view(text)));
    if (chosen.empty())
      return std::unexpected(Problem(Errc::protocol, "QEMU's memory map shows no RAM"));
    if (chosen.size() > kMostRamRanges) {
      return std::unexpected(Problem(Errc::too_large, "QEMU's memory map has too many RAM ranges"));
    }
    std::vector<std::string> questions;
    for (const auto& one : chosen)
      questions.push_back(fmt::format("gpa2hva {:#x}", one.range.start.value));
    const auto answers = TRY(qmp.human(questions));

    std::vector<HostRange> ranges;
    bool consistent = true;
    for (std::size_t i = 0; i < chosen.size() && consistent; ++i) {
      const auto host = parse_gpa2hva(answers[i]);
      consistent = host && host->region == chosen[i].region;
      if (!consistent) break;
      ranges.push_back({chosen[i].range, host->hva, chosen[i].region});
    }
    if (consistent) return ranges;
  }
  return std::unexpected(Problem(Errc::torn, "QEMU's memory map changes while it is asked for"));
}

Outcome<RamFiles> open_ram_files(pid_t pid, const std::vector<HostRange>& ranges) {
  auto maps = read_process_maps(pid);
  if (!maps) return std::unexpected(ram_problem(pid, {maps.error().code, 0, "its memory map"}));
  const auto pieces = TRY(split_at_mappings(ranges, *maps));

  using FileKey = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>;
  std::map<FileKey, std::optional<std::uint32_t>>
      known;  // which of `files`, or that it cannot be opened
  RamFiles found;
  for (const auto& piece : pieces) {
    const auto& mapping = *piece.mapping;
    std::optional<std::uint32_t> file;
    if (mapping.shared && mapping.inode != 0) {
      const FileKey key{mapping.device_major, mapping.device_minor, mapping.inode};
      const auto [entry, fresh] = known.try_emplace(key);
      if (fresh) {
        if (auto opened = open_mapped_file(pid, mapping)) {
          entry->second = static_cast<std::uint32_t>(found.files.size());
          found.files.push_back(std::move(*opened));
          found.names.push_back(mapping.path);
        }
      }
      file = entry->second;
    }
    if (file) {
      found.shared.push_back({piece.range, *file, mapping.offset + (piece.hva - mapping.start)});
    } else {
      // Pages of a file that the process never touched are not zeros.
      found.own.push_back({piece.range, mapping.inode != 0 ? 1U : 0U, piece.hva.value});
    }
  }
  return found;
}

Outcome<ReachedRam> reach_ram(pid_t pid, const std::vector<HostRange>& ranges) {
  auto found = TRY(open_ram_files(pid, ranges));
  std::vector<std::uint64_t> file_bytes(found.files.size());
  std::uint64_t own_bytes = 0;
  for (const auto& segment : found.shared) file_bytes[segment.backing] += segment.range.size;
  for (const auto& segment : found.own) own_bytes += segment.range.size;

  const auto problem = [&](const Error& error) { return std::unexpected(ram_problem(pid, error)); };
  ReachedRam reached;
  std::vector<std::unique_ptr<PhysicalMemory>> parts;
  if (!found.shared.empty()) {
    auto map = MemoryMap::create(std::move(found.shared));
    if (!map) return problem(map.error());
    auto part = SharedMapping::create(std::move(found.files), std::move(*map));
    if (!part) return problem(part.error());
    parts.push_back(std::move(*part));
    for (std::size_t i = 0; i < found.names.size(); ++i) {
      reached.notes.push_back(fmt::format("RAM: shared mapping of {} ({})", found.names[i],
                                          size_in_words(file_bytes[i])));
    }
  }
  if (!found.own.empty()) {
    auto map = MemoryMap::create(std::move(found.own));
    if (!map) return problem(map.error());
    auto part = ProcessMemory::create(pid, std::move(*map));
    if (!part) return problem(part.error());
    parts.push_back(std::move(*part));
    reached.notes.push_back(
        fmt::format("RAM: process_vm_readv of pid {} ({})", pid, size_in_words(own_bytes)));
  }
  auto joined = JoinedMemory::create(std::move(parts));
  if (!joined) return problem(joined.error());
  reached.memory = std::move(*joined);
  return reached;
}

}  // namespace vitrine
