#include "linux/unlisted_tables.h"

#include <algorithm>
#include <array>
#include <memory>

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kReach = 64 * kMiB;  // .data and .rodata lie closer
constexpr std::uint64_t kChunk = 4 * kMiB;
constexpr std::size_t kEntries = 512, kUserEntries = 256;
constexpr std::uint64_t kPresent = 1, kPageSizeBit = 1 << 7;

using Table = std::array<std::uint64_t, kEntries>;

/// How many entries of the kernel's half are there; 0: this is no root of a kernel's tables.
std::size_t weight(const Table& table) {
  const auto last = table.back();
  if ((last & kPresent) == 0 || (last & kPageSizeBit) != 0) return 0;
  if (std::any_of(table.begin(), table.begin() + kUserEntries, [](auto e) { return e != 0; }))
    return 0;
  return static_cast<std::size_t>(std::count_if(table.begin() + kUserEntries, table.end(),
                                                [](auto e) { return (e & kPresent) != 0; }));
}

}  // namespace

std::optional<KernelPlace> find_unlisted_tables(
    const PhysicalMemory& ram, Gpa tables,
    const std::function<std::optional<KernelPlace>(Gpa table)>& confirm) {
  std::optional<KernelPlace> best;
  std::size_t most = 0;
  const auto chunk = std::make_unique<std::byte[]>(kChunk);
  const Gpa from{tables.value > kReach ? (tables.value - kReach) & ~(kPageSize - 1) : 0};
  for (const auto& range : ram.ram()) {
    Gpa at = std::max(range.start, from);
    const Gpa end = std::min(range.end(), tables + kReach);
    while (at < end) {
      const auto size =
          std::min<std::uint64_t>(kChunk, (end - at) & ~static_cast<std::uint64_t>(kPageSize - 1));
      if (size == 0) break;
      const MutableBytes bytes(chunk.get(), size);
      if (!ram.read(at, bytes)) break;
      for (std::uint64_t page = 0; page < size; page += kPageSize) {
        Table table;
        std::memcpy(table.data(), bytes.data() + page, sizeof table);
        const auto found = weight(table);
        if (found <= most) continue;
        if (auto place = confirm(at + page)) {
          best = place;
          most = found;
        }
      }
      at += size;
    }
  }
  return best;
}

}  // namespace vitrine::linux
