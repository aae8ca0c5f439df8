#include "format/elf_symbols.h"

#include <algorithm>
#include <array>

namespace vitrine::format {
namespace {

constexpr std::uint64_t kHeaderSize = 64, kProgramHeaderSize = 56, kSectionHeaderSize = 64;
constexpr std::uint64_t kSymbolSize = 24, kDynamicSize = 16;
constexpr std::uint64_t kMaxProgramHeaders = 256, kMaxSections = 65536, kMaxDynamic = 4096;
constexpr std::uint32_t kLoad = 1, kDynamic = 2;                 // p_type
constexpr std::uint32_t kSymbolTable = 2, kDynamicSymbols = 11;  // sh_type
constexpr std::uint8_t kFunction = 2, kIndirectFunction = 10;    // st_info & 15
constexpr std::uint64_t kPiece = 4096;
constexpr std::byte kMissing{1};  // stands for names that could not be read; no name has it

/// A record of a file, read whole.
template <std::size_t kSize>
struct Record {
  std::array<std::byte, kSize> bytes{};
  template <class T>
  [[nodiscard]] T at(std::uint64_t offset) const {
    return load<T>(bytes, offset).value_or(T{});
  }
};

template <std::size_t kSize>
Result<Record<kSize>> record(const ReadFile& read, std::uint64_t offset) {
  Record<kSize> one;
  if (offset > UINT64_MAX - kSize) return fail(Errc::out_of_bounds, offset, "ELF");
  TRY(read(offset, one.bytes));
  return one;
}

/// So many bytes a function holds; one of an unknown size holds all behind it.
std::uint64_t reach(const ElfFunction& function) {
  return function.size == 0 ? UINT64_MAX : function.size;
}

}  // namespace

Result<ElfSymbols> ElfSymbols::read(const ReadFile& read, std::uint64_t file_size) {
  const auto header = TRY(record<kHeaderSize>(read, 0));
  if (header.at<std::uint32_t>(0) != 0x464c'457f) return fail(Errc::malformed, 0, "ELF magic");
  if (header.at<std::uint8_t>(4) != 2 || header.at<std::uint8_t>(5) != 1) {
    return fail(Errc::unsupported, 0, "a 32-bit or big-endian ELF file");
  }
  const auto program_offset = header.at<std::uint64_t>(32);
  const auto program_count = header.at<std::uint16_t>(56);
  if (header.at<std::uint16_t>(54) != kProgramHeaderSize || program_count > kMaxProgramHeaders) {
    return fail(Errc::malformed, 0, "ELF program headers");
  }
  ElfSymbols symbols;
  std::uint64_t dynamic = 0, dynamic_size = 0;
  for (std::uint64_t i = 0; i < program_count; ++i) {
    const auto one = TRY(record<kProgramHeaderSize>(read, program_offset + i * kProgramHeaderSize));
    const auto type = one.at<std::uint32_t>(0);
    const auto offset = one.at<std::uint64_t>(8), size = one.at<std::uint64_t>(32);
    if (type == kLoad) symbols.loads_.push_back({offset, size, one.at<std::uint64_t>(16)});
    if (type == kDynamic) {
      dynamic = offset;
      dynamic_size = size;
    }
  }
  auto table = symbols.by_sections(read, header.bytes);
  if (!table && dynamic_size != 0) table = symbols.by_dynamic_segment(read, dynamic, dynamic_size);
  if (table) symbols.take(read, *table, file_size);
  return symbols;
}

std::optional<ElfSymbols::Table> ElfSymbols::by_sections(const ReadFile& read, Bytes header) const {
  const auto start = load<std::uint64_t>(header, 40).value_or(0);
  const std::uint64_t count = load<std::uint16_t>(header, 60).value_or(0);
  if (start == 0 || count == 0 || count > kMaxSections ||
      load<std::uint16_t>(header, 58) != kSectionHeaderSize ||
      start > UINT64_MAX - count * kSectionHeaderSize) {
    return std::nullopt;
  }
  std::optional<Table> found;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto one = record<kSectionHeaderSize>(read, start + i * kSectionHeaderSize);
    if (!one) return found;
    const auto type = one->template at<std::uint32_t>(4);
    if (type != kSymbolTable && (type != kDynamicSymbols || found)) continue;
    const auto link = one->template at<std::uint32_t>(40);
    if (link >= count || one->template at<std::uint64_t>(56) != kSymbolSize) continue;
    const auto names = record<kSectionHeaderSize>(read, start + link * kSectionHeaderSize);
    if (!names) continue;
    found = Table{one->template at<std::uint64_t>(24),
                  one->template at<std::uint64_t>(32) / kSymbolSize,
                  names->template at<std::uint64_t>(24), names->template at<std::uint64_t>(32),
                  type == kSymbolTable ? ".symtab" : ".dynsym"};
    if (type == kSymbolTable) return found;
  }
  return found;
}

std::optional<ElfSymbols::Table> ElfSymbols::by_dynamic_segment(const ReadFile& read,
                                                                std::uint64_t offset,
                                                                std::uint64_t size) const {
  constexpr std::uint64_t kEnd = 0, kNames = 5, kSymbols = 6, kNamesSize = 10;
  std::uint64_t names = 0, names_size = 0, symbols = 0;
  for (std::uint64_t i = 0; i < std::min(size / kDynamicSize, kMaxDynamic); ++i) {
    const auto one = record<kDynamicSize>(read, offset + i * kDynamicSize);
    if (!one) return std::nullopt;
    const auto tag = one->template at<std::uint64_t>(0), value = one->template at<std::uint64_t>(8);
    if (tag == kEnd) break;
    if (tag == kNames) names = value;
    if (tag == kNamesSize) names_size = value;
    if (tag == kSymbols) symbols = value;
  }
  const auto names_at = offset_of(names), symbols_at = offset_of(symbols);
  // No tag says how many symbols there are; every linker puts the names right behind them.
  if (!names_at || !symbols_at || *names_at <= *symbols_at) return std::nullopt;
  return Table{*symbols_at, (*names_at - *symbols_at) / kSymbolSize, *names_at, names_size,
               "dynamic segment"};
}

std::optional<std::uint64_t> ElfSymbols::offset_of(std::uint64_t address) const {
  for (const auto& one : loads_) {
    if (address - one.address < one.size) return address - one.address + one.offset;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ElfSymbols::address_of(std::uint64_t offset) const {
  for (const auto& one : loads_) {
    if (offset - one.offset < one.size) return offset - one.offset + one.address;
  }
  return std::nullopt;
}

void ElfSymbols::take(const ReadFile& read, const Table& table, std::uint64_t file_size) {
  source_ = table.source;
  const auto within = [&](std::uint64_t offset, std::uint64_t size, std::uint64_t most) {
    const auto room = offset < file_size ? file_size - offset : 0;
    const auto taken = std::min({size, room, most});
    incomplete_ = incomplete_ || taken < size;
    return taken;
  };
  // Piece by piece: what the page cache does not hold is left out.
  std::vector<std::byte> names(within(table.names, table.names_size, kMaxNames));
  for (std::uint64_t at = 0; at < names.size();) {
    // Pieces end where the file's pages do.
    const auto size = std::min(names.size() - at, kPiece - (table.names + at) % kPiece);
    const bool done = read(table.names + at, MutableBytes(names).subspan(at, size)).has_value();
    if (!done) {
      std::fill_n(names.begin() + static_cast<std::ptrdiff_t>(at), size, kMissing);
      incomplete_ = true;
    }
    at += size;
  }
  const auto bytes = within(table.symbols, table.count * kSymbolSize, kMaxSymbols * kSymbolSize);
  constexpr std::uint64_t kBatch = 128;
  std::array<std::byte, kBatch * kSymbolSize> batch;
  for (std::uint64_t at = 0; at + kSymbolSize <= bytes;) {
    auto size = std::min<std::uint64_t>(batch.size(), (bytes - at) / kSymbolSize * kSymbolSize);
    auto some = MutableBytes(batch).first(size);
    if (!read(table.symbols + at, some)) {
      // One by one, so that a page that is not there costs no others.
      size = kSymbolSize;
      some = some.first(size);
      if (!read(table.symbols + at, some)) {
        incomplete_ = true;
        at += size;
        continue;
      }
    }
    for (std::uint64_t i = 0; i < size; i += kSymbolSize) {
      const auto info = load<std::uint8_t>(some, i + 4).value_or(0) & 15;
      const auto section = load<std::uint16_t>(some, i + 6).value_or(0);
      if ((info != kFunction && info != kIndirectFunction) || section == 0) continue;
      const auto name = load<std::uint32_t>(some, i).value_or(0);
      const auto text = load_string(names, name, 4096);
      if (!text || text->empty() || text->find(static_cast<char>(kMissing)) != text->npos) continue;
      functions_.push_back({load<std::uint64_t>(some, i + 8).value_or(0),
                            load<std::uint64_t>(some, i + 16).value_or(0),
                            static_cast<std::uint32_t>(names_.size()),
                            static_cast<std::uint32_t>(text->size())});
      names_ += *text;
      if (names_.size() > kMaxNames) {
        incomplete_ = true;
        break;
      }
    }
    if (names_.size() > kMaxNames) break;
    at += size;
  }
  std::ranges::stable_sort(functions_, {}, &ElfFunction::address);
  // Of several at one address the first whose size holds a place is found: those that an earlier
  // one hides are dropped, so that at each address sizes rise. Size 0 holds all.
  std::size_t kept = 0;
  for (const auto& one : functions_) {
    if (kept != 0 && functions_[kept - 1].address == one.address &&
        reach(one) <= reach(functions_[kept - 1]))
      continue;
    functions_[kept++] = one;
  }
  functions_.resize(kept);
}

std::optional<ElfSymbols::Found> ElfSymbols::find(std::uint64_t address) const {
  auto after = std::ranges::upper_bound(functions_, address, {}, &ElfFunction::address);
  if (after == functions_.begin()) return std::nullopt;
  const auto start = std::prev(after)->address;
  const auto first = std::ranges::lower_bound(functions_, start, {}, &ElfFunction::address);
  const auto one = std::ranges::upper_bound(first, after, address - start, {}, reach);
  if (one == after) return std::nullopt;
  return Found{std::string_view(names_).substr(one->name, one->name_size), address - start};
}

bool ElfSymbols::has(std::string_view name) const {
  return std::ranges::any_of(functions_, [&](const ElfFunction& one) {
    return std::string_view(names_).substr(one.name, one.name_size) == name;
  });
}

}  // namespace vitrine::format
