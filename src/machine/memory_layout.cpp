#include "machine/memory_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vitrine {
namespace {

constexpr std::uint64_t kSlack = 64 * kMiB;
constexpr GpaRange kVgaWindow{Gpa{0xa0000}, 0x20000};

std::string_view words_of(PcFamily family) {
  switch (family) {
    case PcFamily::i440fx:
      return "an i440fx (pc)";
    case PcFamily::q35:
      return "a q35";
    case PcFamily::microvm:
      return "a microvm";
  }
  return "a";
}

/// How many bytes of `range` the sorted `others` cover.
std::uint64_t covered(const GpaRange& range, std::span<const GpaRange> others) {
  std::uint64_t sum = 0;
  for (const auto& other : others) {
    const auto start = std::max(range.start, other.start);
    const auto end = std::min(range.end(), other.end());
    if (start < end) sum += end - start;
  }
  return sum;
}

}  // namespace

std::optional<PcFamily> pc_family(std::string_view type) {
  if (type.empty() || type == "pc" || type == "isapc" || type.starts_with("pc-i440fx") ||
      type.starts_with("pc-0.") || type.starts_with("pc-1.") || type.starts_with("rhel6")) {
    return PcFamily::i440fx;
  }
  if (type == "q35" || type.starts_with("pc-q35")) return PcFamily::q35;
  if (type == "microvm") return PcFamily::microvm;
  return std::nullopt;
}

std::uint64_t ram_below_4g(PcFamily family, std::uint64_t ram, std::uint64_t max_below) {
  switch (family) {
    case PcFamily::i440fx: {
      auto limit = max_below != 0 ? max_below : 0xe0000000;
      if (ram >= limit) limit = std::min<std::uint64_t>(limit, 0xc0000000);
      return std::min(ram, limit);
    }
    case PcFamily::q35: {
      std::uint64_t limit = ram >= 0xb0000000 ? 0x80000000 : 0xb0000000;
      if (max_below != 0) limit = std::min(limit, max_below);
      return std::min(ram, limit);
    }
    case PcFamily::microvm:
      return std::min<std::uint64_t>(ram, 0xc0000000);
  }
  return ram;
}

MemoryLayout pc_layout(PcFamily family, std::uint64_t ram, std::uint64_t max_below,
                       bool vga_window) {
  const auto low = ram_below_4g(family, ram, max_below);
  MemoryLayout layout;
  layout.words = low == ram ? fmt::format("as {} machine, all below 4 GiB", words_of(family))
                            : fmt::format("as {} machine, with a hole from {:#x} to 4 GiB",
                                          words_of(family), low);
  if (vga_window && low > kVgaWindow.end().value) {
    layout.segments.push_back({{Gpa{0}, kVgaWindow.start.value}, 0, 0});
    layout.segments.push_back(
        {{kVgaWindow.end(), low - kVgaWindow.end().value}, 0, kVgaWindow.end().value});
  } else {
    layout.segments.push_back({{Gpa{0}, low}, 0, 0});
  }
  if (low < ram) layout.segments.push_back({{Gpa{4 * kGiB}, ram - low}, 0, low});
  return layout;
}

MemoryLayout split_layout(std::uint64_t low, std::uint64_t ram) {
  MemoryLayout layout{fmt::format("as a RAM block, with a hole from {:#x} to 4 GiB", low),
                      {{{Gpa{0}, low}, 0, 0}}};
  layout.segments.push_back({{Gpa{4 * kGiB}, ram - low}, 0, low});
  return layout;
}

std::vector<MemoryLayout> raw_layouts(std::uint64_t size) {
  std::vector<MemoryLayout> all;
  all.push_back({"as the address space itself", {{{Gpa{0}, size}, 0, 0}}});
  std::vector<std::uint64_t> seen{size};
  for (const auto family : {PcFamily::q35, PcFamily::i440fx}) {
    const auto low = ram_below_4g(family, size);
    if (std::ranges::find(seen, low) != seen.end()) continue;
    seen.push_back(low);
    all.push_back(pc_layout(family, size, 0, false));
  }
  return all;
}

MapAgreement compare_map(std::span<const GpaRange> map, std::span<const format::E820Entry> table) {
  std::vector<GpaRange> said;
  Gpa end{0};
  for (const auto& entry : table) {
    if (entry.type != format::E820Entry::kRam) continue;
    said.push_back(entry.range);
    end = std::max(end, entry.range.end());
  }
  if (said.empty()) return {false, "the table has no RAM"};
  for (const auto& range : said) {
    if (covered(range, map) != range.size) {
      return {false, fmt::format("the table has RAM from {:#x} to {:#x} where the map has a hole",
                                 range.start.value, range.end().value)};
    }
  }
  std::uint64_t unsaid = 0;
  for (const auto& range : map) {
    if (range.start >= end) continue;
    const GpaRange known{range.start, std::min(range.end(), end) - range.start};
    unsaid += known.size - covered(known, said);
  }
  if (unsaid > kSlack) {
    return {false,
            fmt::format("the map has {} MiB of RAM that the table does not have", unsaid / kMiB)};
  }
  return {true, {}};
}

std::optional<FirmwareTable> find_firmware_table(const PhysicalMemory& memory) {
  // SeaBIOS and qboot keep it in the shadow RAM; read what of the first MiB can be read.
  constexpr Gpa kFrom{0xc0000};
  std::vector<std::byte> low(kMiB - kFrom.value);
  if (!memory.read(kFrom, low)) return std::nullopt;
  auto found = format::find_e820(low);
  if (!found) return std::nullopt;
  return FirmwareTable{kFrom + found->offset, std::move(found->entries)};
}

bool has_bios_shadow(const PhysicalMemory& memory) {
  // "ea 5b e0 00 f0 30 36 2f 32 33 2f 39 39": jmp far f000:e05b, "06/23/99".
  std::array<std::byte, 16> reset;
  if (!memory.read(Gpa{0xffff0}, reset)) return false;
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(reset[i]); };
  return (at(0) == 0xea || at(0) == 0xe9 || at(0) == 0xeb || at(0) == 0x90) && at(7) == '/' &&
         at(10) == '/';
}

}  // namespace vitrine
