#include "fvm/supervisor/guest_ram.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "machine/qemu_ram.h"
#include "machine/size_words.h"

namespace vitrine::fvm {
namespace {

/// A file without a name (a memfd) is made anybody's, and whoever has it open for reading alone and
/// a /proc, as the QEMU of a microVM has, may open it anew for writing. Whoever has it mapped
/// already keeps that.
void refuse_new_writers(const FileDescriptor& file) {
  struct stat status{};
  if (::fstat(file.get(), &status) == 0 && status.st_nlink == 0)
    (void)::fchmod(file.get(), status.st_mode & 0555);
}

}  // namespace

Outcome<GuestRam> open_guest_ram(pid_t pid, const RangesPacket& survey) {
  std::vector<HostRange> ranges;
  for (std::size_t i = 0; i < survey.ranges; ++i) {
    const auto& one = survey.range[i];
    ranges.push_back({{Gpa{one.start}, one.size}, Hva{one.place}, "RAM"});
  }
  auto found = TRY(open_ram_files(pid, ranges));
  if (!found.shared.empty()) {
    std::erase_if(found.own,
                  [](const MapSegment& segment) { return segment.range.end() <= Gpa{kMiB}; });
  }
  GuestRam ram;
  ram.layout.type = PacketType::layout;
  std::uint64_t bytes = 0;
  const auto place = [&](const MapSegment& segment, std::uint32_t file) -> Outcome<void> {
    if (ram.layout.ranges >= kMostRanges)
      return std::unexpected(Problem(Errc::too_large, "the guest's RAM has too many pieces"));
    ram.layout.range[ram.layout.ranges++] = {segment.range.start.value, segment.range.size,
                                             segment.offset, file, 0};
    bytes += segment.range.size;
    return {};
  };
  for (const auto& segment : found.shared) TRY(place(segment, segment.backing));
  for (auto& file : found.files) {
    refuse_new_writers(file);
    ram.files.push_back({RamFile::Kind::shared, std::move(file)});
  }
  if (!found.own.empty()) {
    ram.shared = false;
    FileDescriptor memory(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
    if (!memory) {
      return std::unexpected(
          Problem(Errc::denied, fmt::format("the memory of QEMU (pid {}) cannot be opened: {}", pid,
                                            std::strerror(errno))));
    }
    for (const auto& segment : found.own)
      TRY(place(segment, static_cast<std::uint32_t>(ram.files.size())));
    ram.files.push_back({RamFile::Kind::process, std::move(memory)});
  }
  if (ram.files.size() > kMostRamFiles)
    return std::unexpected(Problem(Errc::too_large, "the guest's RAM lies in too many files"));
  ram.layout.files = static_cast<std::uint32_t>(ram.files.size());
  for (std::size_t i = 0; i < ram.files.size(); ++i)
    ram.layout.kinds[i] = static_cast<std::uint8_t>(ram.files[i].kind);
  ram.how = fmt::format(
      "{}, {}", size_in_words(bytes),
      ram.shared ? fmt::format("{}", fmt::join(found.names, ", ")) : "in its QEMU alone");
  return ram;
}

}  // namespace vitrine::fvm
