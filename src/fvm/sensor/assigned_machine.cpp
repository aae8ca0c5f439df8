#include "fvm/sensor/assigned_machine.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "memory/joined_memory.h"
#include "memory/shared_mapping.h"

namespace vitrine::fvm {
namespace {

/// Guest RAM that only its QEMU has mapped, through an open /proc/PID/mem: unlike
/// ProcessMemory it needs no right but the descriptor.
class InheritedMemory final : public PhysicalMemory {
 public:
  InheritedMemory(FileDescriptor file, MemoryMap map)
      : file_(std::move(file)), map_(std::move(map)) {}

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return map_.ranges(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    return map_.for_each_piece(
        from, into.size(),
        [&](const MapSegment&, std::uint64_t place, std::uint64_t done,
            std::uint64_t size) -> Result<void> {
          while (size > 0) {
            const auto got =
                ::pread(file_.get(), into.data() + done, size, static_cast<off_t>(place));
            if (got < 0 && errno == EINTR) continue;
            if (got == 0) return fail(Errc::vanished, (from + done).value, "the process is gone");
            if (got < 0) return fail(Errc::io, (from + done).value, "another process's memory");
            const auto read = static_cast<std::uint64_t>(got);
            place += read;
            done += read;
            size -= read;
          }
          return {};
        });
  }

 private:
  FileDescriptor file_;
  MemoryMap map_;
};

/// All of it counts as touched. Linux gives sysfs's resource files the address space of a device
/// whose size is 0: lseek(SEEK_DATA) finds nothing in them, and so no kernel was found by it.
class DenseMemory final : public PassingMemory {
 public:
  explicit DenseMemory(std::unique_ptr<PhysicalMemory> inner) : PassingMemory(std::move(inner)) {}

  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override {
    for (const auto& range : ram()) {
      if (range.end() <= from) continue;
      const auto start = std::max(from, range.start);
      return GpaRange{start, range.end() - start};
    }
    return std::nullopt;
  }
};

}  // namespace

Result<void> TickingMemory::read(Gpa from, MutableBytes into) const {
  tick_();
  return inner().read(from, into);
}
std::size_t TickingMemory::read_batch(std::span<BatchRead> batch) const {
  tick_();
  return inner().read_batch(batch);
}
Bytes TickingMemory::window(Gpa from, std::uint64_t size) const noexcept {
  constexpr std::uint64_t kLongestWindow = 256 * kKiB;
  tick_();
  return size > kLongestWindow ? Bytes() : inner().window(from, size);
}
std::optional<GpaRange> TickingMemory::next_populated(Gpa from) const {
  tick_();
  return inner().next_populated(from);
}

Result<std::unique_ptr<AssignedMachine>> AssignedMachine::create(
    const std::vector<MapSegment>& segments, std::vector<RamFile> files,
    std::function<void()> tick) {
  std::vector<FileDescriptor> shared;
  std::vector<MapSegment> shared_segments;
  std::vector<std::unique_ptr<PhysicalMemory>> parts;
  bool dense = false;
  for (std::uint32_t number = 0; number < files.size(); ++number) {
    std::vector<MapSegment> own;
    for (auto segment : segments) {
      if (segment.backing != number) continue;
      segment.backing = files[number].kind == RamFile::Kind::process
                            ? 0
                            : static_cast<std::uint32_t>(shared.size());
      own.push_back(segment);
    }
    if (own.empty()) continue;
    dense = dense || files[number].kind == RamFile::Kind::bar;
    if (files[number].kind != RamFile::Kind::process) {
      shared_segments.insert(shared_segments.end(), own.begin(), own.end());
      shared.push_back(std::move(files[number].file));
    } else {
      parts.push_back(std::make_unique<InheritedMemory>(std::move(files[number].file),
                                                        TRY(MemoryMap::create(std::move(own)))));
    }
  }
  for (const auto& segment : segments) {
    if (segment.backing >= files.size())
      return fail(Errc::out_of_bounds, segment.range.start.value, "segment names no file");
  }
  if (!shared_segments.empty()) {
    auto map = TRY(MemoryMap::create(std::move(shared_segments)));
    std::unique_ptr<PhysicalMemory> mapped =
        TRY(SharedMapping::create(std::move(shared), std::move(map)));
    if (dense) mapped = std::make_unique<DenseMemory>(std::move(mapped));
    parts.push_back(std::move(mapped));
  }
  if (parts.empty()) return fail(Errc::out_of_bounds, 0, "no RAM was assigned");
  auto joined = TRY(JoinedMemory::create(std::move(parts)));
  auto ticking = std::make_unique<TickingMemory>(std::move(joined), std::move(tick));
  return std::unique_ptr<AssignedMachine>(new AssignedMachine(std::move(ticking)));
}

}  // namespace vitrine::fvm
