#include "format/e820.h"

namespace vitrine::format {
namespace {

constexpr std::uint64_t kEntrySize = 20;
constexpr std::uint64_t kPhysicalLimit = std::uint64_t{1} << 52;
constexpr std::size_t kMostEntries = 128;
constexpr std::uint32_t kLastType = 12;  // persistent memory

std::optional<E820Entry> entry_at(Bytes bytes, std::uint64_t offset) {
  const auto start = load<std::uint64_t>(bytes, offset);
  const auto size = load<std::uint64_t>(bytes, offset + 8);
  const auto type = load<std::uint32_t>(bytes, offset + 16);
  if (!start || !size || !type) return std::nullopt;
  if (*size == 0 || *start >= kPhysicalLimit || *size > kPhysicalLimit - *start)
    return std::nullopt;
  return E820Entry{{Gpa{*start}, *size}, *type};
}

}  // namespace

std::optional<std::vector<E820Entry>> parse_e820(Bytes bytes, std::uint64_t offset,
                                                 std::uint64_t count) {
  if (count > bytes.size() / kEntrySize) return std::nullopt;
  std::vector<E820Entry> entries;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto entry = entry_at(bytes, offset + i * kEntrySize);
    if (!entry) return std::nullopt;
    entries.push_back(*entry);
  }
  return entries;
}

std::optional<FoundE820> find_e820(Bytes low) {
  for (std::uint64_t offset = 0; offset + 2 * kEntrySize <= low.size(); offset += 4) {
    if (load<std::uint64_t>(low, offset) != 0) continue;
    const auto first = entry_at(low, offset);
    if (!first || first->type != E820Entry::kRam) continue;
    if (first->range.size < 512 * kKiB || first->range.size > 640 * kKiB) continue;
    FoundE820 found{offset, {*first}};
    while (found.entries.size() < kMostEntries) {
      const auto next = entry_at(low, offset + found.entries.size() * kEntrySize);
      if (!next || next->type == 0 || next->type > kLastType) break;
      if (next->range.start < found.entries.back().range.end()) break;
      found.entries.push_back(*next);
    }
    // RAM from 1 MiB on is what makes it a memory map.
    for (const auto& entry : found.entries) {
      if (entry.type == E820Entry::kRam && entry.range.start == Gpa{kMiB}) return found;
    }
  }
  return std::nullopt;
}

}  // namespace vitrine::format
