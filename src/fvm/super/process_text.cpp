#include "fvm/super/process_text.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/address.h"
#include "machine/process_maps.h"

namespace vitrine::fvm {
namespace {

constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kLongestMaps = 256 * 1024;  ///< an FVM has some thirty mappings

// Source: Linux, Documentation/admin-guide/mm/pagemap.rst
constexpr std::uint64_t kPresent = 1ULL << 63, kSwapped = 1ULL << 62, kOfFile = 1ULL << 61;

/// Compares [from, from + size) of the text. False: it differs.
bool same_bytes(const ProcessFiles& process, const TextPlace& place, std::uint64_t from,
                std::uint64_t size, std::vector<std::byte>& buffer) {
  buffer.resize(std::max(buffer.size(), kPiece));
  for (std::uint64_t done = 0; done < size;) {
    const auto piece = std::min<std::uint64_t>(kPiece, size - done);
    const auto got = ::pread(process.memory.get(), buffer.data(), piece,
                             static_cast<off_t>(place.start + from + done));
    if (got <= 0) return true;  // it is gone
    if (std::memcmp(buffer.data(), place.measured.data() + from + done,
                    static_cast<std::size_t>(got)) != 0)
      return false;
    done += static_cast<std::uint64_t>(got);
  }
  return true;
}

/// Reads from the begin of a file of /proc, until its end or `most` bytes.
std::size_t read_whole(const FileDescriptor& file, std::vector<std::byte>& buffer,
                       std::size_t most) {
  std::size_t done = 0;
  while (done < most) {
    buffer.resize(std::max(buffer.size(), std::min(most, done + kPiece)));
    const auto got = ::pread(file.get(), buffer.data() + done, std::min(kPiece, most - done),
                             static_cast<off_t>(done));
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

bool is_the_program(const ProcessMapping& mapping, const TextPlace& place) {
  return mapping.start.value == place.start && mapping.size() == place.measured.size() &&
         mapping.offset == place.offset && mapping.inode == place.inode &&
         makedev(mapping.device_major, mapping.device_minor) == place.device && !mapping.writable;
}

}  // namespace

TextState look_at_text(const ProcessFiles& process, const TextPlace& place,
                       std::vector<std::byte>& buffer) {
  if (!process.maps || !process.pagemap) {
    return same_bytes(process, place, 0, place.measured.size(), buffer) ? TextState::intact
                                                                        : TextState::changed;
  }
  const auto length = read_whole(process.maps, buffer, kLongestMaps);
  if (length == 0) return TextState::intact;
  if (length == kLongestMaps) return TextState::foreign;
  bool there = false;
  for (const auto& mapping :
       parse_process_maps({reinterpret_cast<const char*>(buffer.data()), length})) {
    if (!mapping.executable || mapping.path == "[vdso]" || mapping.path == "[vsyscall]") continue;
    if (!is_the_program(mapping, place)) return TextState::foreign;
    there = true;
  }
  if (!there) return TextState::foreign;

  const auto pages = place.measured.size() / kPageSize;
  std::vector<std::uint64_t> entries(pages);
  const auto got = ::pread(process.pagemap.get(), entries.data(), pages * sizeof entries[0],
                           static_cast<off_t>(place.start / kPageSize * sizeof entries[0]));
  for (std::size_t page = 0; page < static_cast<std::size_t>(std::max<ssize_t>(got, 0)) / 8;
       ++page) {
    const auto entry = entries[page];
    if ((entry & (kPresent | kSwapped)) == 0 || (entry & kOfFile) != 0) continue;
    if (!same_bytes(process, place, page * kPageSize, kPageSize, buffer)) return TextState::changed;
  }
  return TextState::intact;
}

}  // namespace vitrine::fvm
