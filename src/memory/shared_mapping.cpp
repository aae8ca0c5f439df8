#include "memory/shared_mapping.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vitrine {
namespace {

/// The first byte at or after `from` and before `limit` that is data, and where the
/// data ends; a file system that cannot say counts everything as data.
std::optional<std::pair<std::uint64_t, std::uint64_t>> next_data(int file, std::uint64_t from,
                                                                 std::uint64_t limit) {
  const auto data = ::lseek(file, static_cast<off_t>(from), SEEK_DATA);
  if (data < 0) {
    if (errno == ENXIO) return std::nullopt;
    return std::pair{from, limit};
  }
  const auto begin = static_cast<std::uint64_t>(data);
  if (begin >= limit) return std::nullopt;
  const auto hole = ::lseek(file, data, SEEK_HOLE);
  const auto end = hole < 0 ? limit : std::min(limit, static_cast<std::uint64_t>(hole));
  return std::pair{begin, end};
}

}  // namespace

Result<FileDescriptor> open_for_reading(const std::string& path) {
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (number < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return fail(Errc::not_found, 0, "open");
    return fail(errno == EACCES || errno == EPERM ? Errc::denied : Errc::io, 0, "open");
  }
  return FileDescriptor(number);
}

Result<std::unique_ptr<SharedMapping>> SharedMapping::create(std::vector<FileDescriptor> files,
                                                             MemoryMap map) {
  std::vector<std::uint64_t> ends(files.size(), 0);
  for (const auto& segment : map.segments()) {
    if (segment.backing >= files.size()) {
      return fail(Errc::out_of_bounds, segment.range.start.value, "segment names no file");
    }
    auto& end = ends[segment.backing];
    end = std::max(end, segment.offset + segment.range.size);
  }
  std::vector<File> mapped;
  for (std::size_t i = 0; i < files.size(); ++i) {
    auto mapping = TRY(GuardedMapping::map(files[i].get(), ends[i]));
    mapped.push_back({std::move(files[i]), std::move(mapping)});
  }
  return std::unique_ptr<SharedMapping>(new SharedMapping(std::move(mapped), std::move(map)));
}

Result<void> SharedMapping::read(Gpa from, MutableBytes into) const {
  return map_.for_each_piece(
      from, into.size(),
      [&](const MapSegment& segment, std::uint64_t place, std::uint64_t done,
          std::uint64_t size) -> Result<void> {
        const auto& mapping = files_[segment.backing].mapping;
        std::memcpy(into.data() + done, mapping.bytes().data() + place, size);
        if (mapping.lost()) return fail(Errc::vanished, (from + done).value, "the RAM file shrank");
        return {};
      });
}

Bytes SharedMapping::window(Gpa from, std::uint64_t size) const noexcept {
  const auto* segment = map_.find(from);
  if (segment == nullptr) return {};
  const auto into = from - segment->range.start;
  if (size > segment->range.size - into) return {};
  const auto& mapping = files_[segment->backing].mapping;
  if (mapping.lost()) return {};
  return mapping.bytes().subspan(segment->offset + into, size);
}

std::optional<GpaRange> SharedMapping::next_populated(Gpa from) const {
  for (const auto* segment = map_.find_from(from); segment != nullptr;
       segment = map_.find_from(segment->range.end())) {
    const auto into = from > segment->range.start ? from - segment->range.start : 0;
    const auto end = segment->offset + segment->range.size;
    const auto data =
        next_data(files_[segment->backing].descriptor.get(), segment->offset + into, end);
    if (!data) continue;
    // Whole pages of the guest, whatever the file's offsets are aligned to.
    const auto page_of = [&](std::uint64_t place, std::uint64_t round) {
      const Gpa at = segment->range.start + (place - segment->offset);
      return Gpa{(at.value + round) & ~(kPageSize - 1)};
    };
    const Gpa first = std::max(page_of(data->first, 0), segment->range.start);
    const Gpa last = std::min(page_of(data->second, kPageSize - 1), segment->range.end());
    return GpaRange{first, last - first};
  }
  return std::nullopt;
}

bool SharedMapping::intact() const noexcept {
  return std::ranges::all_of(files_, [](const File& file) {
    struct stat status{};
    return !file.mapping.lost() && ::fstat(file.descriptor.get(), &status) == 0 &&
           static_cast<std::uint64_t>(status.st_size) >= file.mapping.bytes().size();
  });
}

}  // namespace vitrine
