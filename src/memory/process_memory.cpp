#include "memory/process_memory.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

namespace vitrine {
namespace {

constexpr std::uint64_t kPresentOrSwapped = std::uint64_t{3} << 62;
constexpr std::size_t kPagemapChunk = 4096;  // entries: 16 MiB of the guest a read

std::unexpected<Error> failed(int error, std::uint64_t address) {
  switch (error) {
    case ESRCH:
      return fail(Errc::vanished, address, "the process is gone");
    case EPERM:
    case EACCES:
      return fail(Errc::denied, address, "another process's memory");
    default:
      return fail(Errc::io, address, "another process's memory");
  }
}

void* remote(std::uint64_t address) { return reinterpret_cast<void*>(address); }

}  // namespace

Result<std::unique_ptr<ProcessMemory>> ProcessMemory::create(pid_t pid, MemoryMap map) {
  FileDescriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd && errno == ESRCH) return fail(Errc::vanished, 0, "the process is gone");
  if (!pidfd) return fail(Errc::io, 0, "pidfd_open");
  FileDescriptor mem(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!mem) return failed(errno, 0);
  FileDescriptor pagemap(
      ::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));
  std::unique_ptr<ProcessMemory> memory(
      new ProcessMemory(pid, std::move(pidfd), std::move(mem), std::move(pagemap), std::move(map)));
  if (!memory->map_.empty()) {
    std::byte probe;
    TRY(memory->read(memory->ram().front().start, MutableBytes(&probe, 1)));
  }
  return memory;
}

bool ProcessMemory::alive() const noexcept {
  pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&ended, 1, 0);
  } while (ready < 0 && errno == EINTR);
  return ready == 0;
}

Result<void> ProcessMemory::read(Gpa from, MutableBytes into) const {
  return into.size() <= kPageSize ? read_small(from, into) : read_large(from, into);
}

Result<void> ProcessMemory::read_small(Gpa from, MutableBytes into) const {
  return map_.for_each_piece(from, into.size(),
                             [&](const MapSegment&, std::uint64_t place, std::uint64_t before,
                                 std::uint64_t size) -> Result<void> {
                               while (size > 0) {
                                 const auto got = ::pread(memory_.get(), into.data() + before, size,
                                                          static_cast<off_t>(place));
                                 // Nothing at all: the memory's last user has gone.
                                 if (got <= 0)
                                   return failed(got < 0 ? errno : ESRCH, (from + before).value);
                                 const auto count = static_cast<std::uint64_t>(got);
                                 before += count;
                                 place += count;
                                 size -= count;
                               }
                               return {};
                             });
}

Result<void> ProcessMemory::read_large(Gpa from, MutableBytes into) const {
  auto done =
      map_.for_each_piece(from, into.size(),
                          [&](const MapSegment&, std::uint64_t place, std::uint64_t before,
                              std::uint64_t size) -> Result<void> {
                            while (size > 0) {
                              const iovec local{into.data() + before, size};
                              const iovec there{remote(place), size};
                              const auto got = ::process_vm_readv(pid_, &local, 1, &there, 1, 0);
                              if (got <= 0)
                                return failed(got < 0 ? errno : EFAULT, (from + before).value);
                              const auto count = static_cast<std::uint64_t>(got);
                              before += count;
                              place += count;
                              size -= count;
                            }
                            return {};
                          });
  // Alive now means the pid was its own all along.
  if ((done || done.error().code != Errc::outside_ram) && !into.empty() && !alive()) {
    return fail(Errc::vanished, from.value, "the process is gone");
  }
  return done;
}

std::size_t ProcessMemory::read_batch(std::span<BatchRead> batch) const {
  struct Part {
    iovec local, there;
    std::size_t read;
  };
  std::vector<Part> parts;
  parts.reserve(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto before = parts.size();
    batch[i].ok =
        map_.for_each_piece(
                batch[i].from, batch[i].into.size(),
                [&](const MapSegment&, std::uint64_t place, std::uint64_t done,
                    std::uint64_t size) -> Result<void> {
                  parts.push_back({{batch[i].into.data() + done, size}, {remote(place), size}, i});
                  return {};
                })
            .has_value();
    if (!batch[i].ok) parts.resize(before);
  }

  std::array<iovec, IOV_MAX> local;
  std::array<iovec, IOV_MAX> there;
  std::size_t next = 0;
  while (next < parts.size()) {
    const auto count = std::min<std::size_t>(parts.size() - next, IOV_MAX);
    std::size_t bytes = 0;
    std::size_t places = 0;  // of ours: what lies side by side counts once
    for (std::size_t i = 0; i < count; ++i) {
      const auto& into = parts[next + i].local;
      there[i] = parts[next + i].there;
      bytes += into.iov_len;
      if (places > 0 &&
          static_cast<std::byte*>(local[places - 1].iov_base) + local[places - 1].iov_len ==
              into.iov_base) {
        local[places - 1].iov_len += into.iov_len;
      } else {
        local[places++] = into;
      }
    }
    const auto got = ::process_vm_readv(pid_, local.data(), places, there.data(), count, 0);
    if (got < 0 && errno != EFAULT) {
      for (std::size_t i = next; i < parts.size(); ++i) batch[parts[i].read].ok = false;
      break;
    }
    // The kernel stops at the first piece it cannot read: skip that one, go on behind it.
    auto left = static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    if (left == bytes) {
      next += count;
      continue;
    }
    while (left >= parts[next].local.iov_len) left -= parts[next++].local.iov_len;
    batch[parts[next++].read].ok = false;
  }

  if (!alive()) {
    for (auto& one : batch) one.ok = false;
  }
  return static_cast<std::size_t>(std::ranges::count_if(batch, &BatchRead::ok));
}

std::optional<GpaRange> ProcessMemory::next_populated(Gpa from) const {
  if (!pagemap_) return PhysicalMemory::next_populated(from);
  std::array<std::uint64_t, kPagemapChunk> entries;
  for (const auto* segment = map_.find_from(from); segment != nullptr;
       segment = map_.find_from(segment->range.end())) {
    const Gpa start = std::max(Gpa{from.value & ~(kPageSize - 1)}, segment->range.start);
    if (segment->backing == 1) return GpaRange{start, segment->range.end() - start};
    std::optional<Gpa> first;
    Gpa at = start;
    while (at < segment->range.end()) {
      const auto hva = segment->offset + (at - segment->range.start);
      const auto pages = std::min<std::uint64_t>(
          (segment->range.end() - at + kPageSize - 1) / kPageSize, kPagemapChunk);
      const auto got = ::pread(pagemap_.get(), entries.data(), pages * 8,
                               static_cast<off_t>(hva / kPageSize * 8));
      if (got < static_cast<ssize_t>(pages * 8)) return GpaRange{at, segment->range.end() - at};
      for (std::uint64_t i = 0; i < pages; ++i) {
        const bool touched = (entries[i] & kPresentOrSwapped) != 0;
        const Gpa page = at + i * kPageSize;
        if (touched && !first) first = page;
        if (!touched && first) return GpaRange{*first, page - *first};
      }
      at += pages * kPageSize;
      // A stretch ends with its chunk, so that each call costs one look at the pagemap.
      if (first) {
        const Gpa end = std::min(at, segment->range.end());
        return GpaRange{*first, end - *first};
      }
    }
  }
  return std::nullopt;
}

}  // namespace vitrine
