#include "linux/identity.h"

#include <fmt/core.h>

#include <optional>

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kLinkedText = 0xffff'ffff'8100'0000;  // _text without KASLR
constexpr std::size_t kMaxBanner = 512;
constexpr std::uint64_t kMaxNotes = 64 * kKiB;

constexpr std::uint64_t kEndOfDirectMap = 0xffff'fe00'0000'0000;  // the CPU entry area begins

// Documentation/arch/x86/x86_64/mm.rst: where the maps start without KASLR.
struct Defaults {
  std::uint64_t direct_map, vmalloc, vmemmap;
};
constexpr Defaults kFourLevels{0xffff'8880'0000'0000, 0xffff'c900'0000'0000, 0xffff'ea00'0000'0000};
constexpr Defaults kFiveLevels{0xff11'0000'0000'0000, 0xffa0'0000'0000'0000, 0xffd4'0000'0000'0000};

std::string read_banner(const VirtualMemory& memory, const SymbolTable& symbols) {
  const auto at = symbols.find("linux_banner");
  if (!at) return {};
  auto banner = memory.load_string(*at, kMaxBanner).value_or("");
  if (const auto end = banner.find('\n'); end != std::string::npos) banner.resize(end);
  return banner;
}

/// "Linux version RELEASE (builder) ..."
std::string release_of(std::string_view banner) {
  constexpr std::string_view kStart = "Linux version ";
  if (!banner.starts_with(kStart)) return {};
  banner.remove_prefix(kStart.size());
  return std::string(banner.substr(0, banner.find(' ')));
}

std::string read_build_id(const VirtualMemory& memory, const SymbolTable& symbols) {
  const auto start = symbols.find("__start_notes");
  const auto stop = symbols.find("__stop_notes");
  if (!start || !stop || *stop - *start > kMaxNotes) return {};
  std::vector<std::byte> notes(*stop - *start);
  if (!memory.read(*start, notes)) return {};
  return find_build_id(notes);
}

/// KPTI keeps a second table for user mode in the page after the kernel's own; without
/// it, that page stays empty. Source: arch/x86/mm/pti.c, kernel_to_user_pgdp().
bool has_user_table(const PhysicalMemory& ram, const KernelPlace& place) {
  constexpr std::uint64_t kLastEntry = 511 * sizeof(std::uint64_t);
  const auto entry = ram.load<std::uint64_t>(place.root.table + kPageSize + kLastEntry);
  return entry && (*entry & 1) != 0 && ((place.root.table.value >> 12) & 1) == 0;
}

/// The direct map's start as the kernel's own tables have it: the first that they map of the
/// kernel's half is some page of it. Without KASLR of memory no variable holds it, and it moved
/// (4.20, commit d52888aa2753).
std::optional<std::uint64_t> first_mapping(const PhysicalMemory& ram, x86::PageRoot root) {
  constexpr std::size_t kTables = 16;
  const std::uint64_t half = root.levels == 5 ? 0xff00'0000'0000'0000 : 0xffff'8000'0000'0000;
  std::optional<std::uint64_t> start;
  (void)x86::for_each_mapping(
      ram, root, Gva{half}, Gva{kEndOfDirectMap}, kTables, [&](const x86::Mapping& mapping) {
        const std::uint64_t base = mapping.start.value - mapping.first.address.value;
        if (base % kGiB == 0 && base >= half) start = base;
        return false;
      });
  return start;
}

}  // namespace

std::optional<BuildIdNote> find_build_id_note(Bytes notes) {
  constexpr std::uint32_t kBuildId = 3;  // NT_GNU_BUILD_ID
  constexpr std::uint64_t kHeader = 12;
  const auto padded = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
  std::uint64_t at = 0;
  while (const auto header = slice(notes, at, kHeader)) {
    const std::uint64_t name_size = *load<std::uint32_t>(*header, 0);
    const std::uint64_t data_size = *load<std::uint32_t>(*header, 4);
    const auto name = slice(notes, at + kHeader, name_size);
    const auto data = slice(notes, at + kHeader + padded(name_size), data_size);
    if (!name || !data) return std::nullopt;
    if (*load<std::uint32_t>(*header, 8) == kBuildId && name_size == 4 &&
        std::memcmp(name->data(), "GNU", 4) == 0) {
      return BuildIdNote{at, *data};
    }
    at += kHeader + padded(name_size) + padded(data_size);
  }
  return std::nullopt;
}

std::string find_build_id(Bytes notes) {
  std::string id;
  const auto note = find_build_id_note(notes);
  if (!note) return id;
  for (const auto byte : note->id.first(std::min<std::size_t>(note->id.size(), 32))) {
    id += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  }
  return id;
}

Identity read_identity(const VirtualMemory& memory, const PhysicalMemory& ram,
                       const KernelPlace& place, const SymbolTable& symbols,
                       std::vector<std::string>& warnings) {
  Identity identity;
  identity.text = place.text;
  identity.text_physical = place.text_physical;
  identity.slide = static_cast<std::int64_t>(place.text.value - kLinkedText);
  identity.levels = place.root.levels;
  identity.page_table_isolation = has_user_table(ram, place);
  identity.banner = read_banner(memory, symbols);
  identity.release = release_of(identity.banner);
  if (identity.release.empty())
    warnings.emplace_back("linux_banner does not read as a kernel's version");
  identity.build_id = read_build_id(memory, symbols);
  if (identity.build_id.empty())
    warnings.emplace_back(
        symbols.find("__start_notes")
            ? "the kernel carries no build id: it is not cached"
            : "where the kernel's build id stands is not known: it is not cached");

  const Defaults& defaults = place.root.levels == 5 ? kFiveLevels : kFourLevels;
  const auto base = [&](const char* name, std::uint64_t otherwise) {
    const auto at = symbols.find(name);
    const auto value = at ? memory.load<std::uint64_t>(*at).value_or(0) : 0;
    return Gva{value != 0 ? value : otherwise};
  };
  identity.direct_map =
      base("page_offset_base", first_mapping(ram, place.root).value_or(defaults.direct_map));
  identity.vmalloc = base("vmalloc_base", defaults.vmalloc);
  identity.vmemmap = base("vmemmap_base", defaults.vmemmap);
  return identity;
}

}  // namespace vitrine::linux
