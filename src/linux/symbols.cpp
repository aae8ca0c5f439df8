#include "linux/symbols.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/edit_distance.h"

namespace vitrine::linux {
namespace {

std::uint32_t hash_of(std::string_view name) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;  // FNV-1a, 64 bits
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

/// The name in the source. Link-time optimization gives local symbols that it shares between
/// files a suffix of their own: "tk_core.llvm.1234567" by Clang, "tk_core.lto_priv.0" by GCC;
/// Clang's -funique-internal-linkage-names one to all local symbols, "tk_core.__uniq.1234".
std::string_view source_name(std::string_view name) {
  constexpr std::array<std::string_view, 3> kMarks{".llvm", ".lto_priv", ".__uniq"};
  for (;;) {
    const auto dot = name.rfind('.');
    if (dot == std::string_view::npos) return name;
    const auto digits = name.substr(dot + 1), front = name.substr(0, dot);
    if (!std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) return name;
    const auto mark =
        std::ranges::find_if(kMarks, [&](std::string_view one) { return front.ends_with(one); });
    if (mark == kMarks.end()) return name;
    name = front.substr(0, front.size() - mark->size());
  }
}

constexpr std::uint64_t extended(std::uint32_t low) {
  return static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(low)});
}

constexpr std::size_t kLongestName = 1023;  // the kernel's own bound is 511
constexpr std::uint16_t kMostModules = 16383;

/// 12 bytes, as there are a hundred thousand: kernels and modules lie in the last 2 GiB, per-CPU
/// symbols at the begin. An address that lies elsewhere stands among the names, 8 bytes.
struct Entry {
  std::uint32_t low;   // of the address, which is sign-extended; wide: where it stands
  std::uint32_t name;  // offset into names
  std::uint32_t size : 10, module : 14, type : 7, wide : 1;
};
static_assert(sizeof(Entry) == 12);

}  // namespace

struct SymbolTable::Data {
  std::vector<Entry> entries;
  std::string names;
  std::vector<std::string> modules;
  /// By hash: for each bucket where it starts in what follows, and one value more, the end; then
  /// the entries' indices, by bucket and in each by address.
  std::vector<std::uint32_t> index;

  [[nodiscard]] std::size_t buckets() const { return index.size() - entries.size() - 1; }

  [[nodiscard]] std::uint64_t address(const Entry& entry) const {
    if (!entry.wide) return extended(entry.low);
    std::uint64_t address = 0;
    std::memcpy(&address, names.data() + entry.low, sizeof address);
    return address;
  }
  void set_address(Entry& entry, std::uint64_t address) {
    if (!entry.wide && extended(static_cast<std::uint32_t>(address)) == address) {
      entry.low = static_cast<std::uint32_t>(address);
      return;
    }
    if (!entry.wide) {
      entry.low = static_cast<std::uint32_t>(names.size());
      entry.wide = 1;
      names.append(sizeof address, '\0');
    }
    std::memcpy(names.data() + entry.low, &address, sizeof address);
  }
  [[nodiscard]] std::string_view name(const Entry& entry) const {
    return std::string_view(names).substr(entry.name, entry.size);
  }
  [[nodiscard]] Symbol symbol(const Entry& entry) const {
    return {Gva{address(entry)}, static_cast<char>(entry.type), name(entry), modules[entry.module]};
  }
  /// The first entry at or above `wanted`.
  [[nodiscard]] auto lower_bound(std::uint64_t wanted) const {
    return std::ranges::partition_point(
        entries, [&](const Entry& entry) { return address(entry) < wanted; });
  }
  /// Calls `visit(entry)` for each entry of that name, or of that name in the source, until it
  /// answers false.
  template <class Visit>
  void each(std::string_view wanted, const Visit& visit) const {
    if (entries.empty()) return;
    const auto* starts = index.data() + (hash_of(source_name(wanted)) & (buckets() - 1));
    const auto* ordered = index.data() + buckets() + 1;
    for (std::uint32_t at = starts[0]; at < starts[1]; ++at) {
      const auto& entry = entries[ordered[at]];
      const auto here = name(entry);
      if ((here == wanted || source_name(here) == wanted) && !visit(entry)) return;
    }
  }
};

SymbolTable::SymbolTable() : data_(std::make_unique<Data>()) {}
SymbolTable::SymbolTable(SymbolTable&&) noexcept = default;
SymbolTable& SymbolTable::operator=(SymbolTable&&) noexcept = default;
SymbolTable::~SymbolTable() = default;

void SymbolTable::Builder::add(std::uint64_t address, char type, std::string_view name,
                               std::uint16_t module) {
  entries_.push_back({address, static_cast<std::uint32_t>(names_.size()),
                      static_cast<std::uint32_t>(name.size()), module, type});
  names_ += name;
}

std::uint16_t SymbolTable::Builder::module(std::string_view name) {
  modules_.emplace_back(name);
  return static_cast<std::uint16_t>(modules_.size() - 1);
}

void SymbolTable::Builder::reserve(std::size_t symbols, std::size_t name_bytes) {
  entries_.reserve(symbols);
  names_.reserve(name_bytes);
}

std::optional<std::uint64_t> SymbolTable::Builder::find(std::string_view name) const {
  for (const auto& entry : entries_) {
    const auto here = std::string_view(names_).substr(entry.name, entry.size);
    if (here == name || source_name(here) == name) return entry.address;
  }
  return std::nullopt;
}

void SymbolTable::Builder::relocate(std::uint64_t delta) {
  for (auto& entry : entries_) entry.address += delta;
}

SymbolTable SymbolTable::Builder::build() && {
  SymbolTable table;
  Data& data = *table.data_;
  const auto by_address = [](const Entry& a, const Entry& b) { return a.address < b.address; };
  if (!std::ranges::is_sorted(entries_, by_address)) std::ranges::stable_sort(entries_, by_address);
  names_.shrink_to_fit();
  data.names = std::move(names_);
  data.modules = std::move(modules_);
  data.entries.reserve(entries_.size());
  for (const Entry& from : entries_) {
    vitrine::linux::Entry entry{
        0,
        from.name,
        static_cast<std::uint32_t>(std::min<std::size_t>(from.size, kLongestName)) & 0x3ffU,
        std::min(from.module, kMostModules) & 0x3fffU,
        static_cast<unsigned char>(from.type) & 0x7fU,
        0};
    data.set_address(entry, from.address);
    data.entries.push_back(entry);
  }
  entries_ = {};
  // Counted, then placed: two passes, however many names are alike.
  const std::size_t buckets = std::bit_ceil(std::max<std::size_t>(data.entries.size(), 16));
  data.index.assign(buckets + 1 + data.entries.size(), 0);
  std::vector<std::uint32_t> hashes;
  hashes.reserve(data.entries.size());
  for (const auto& entry : data.entries) {
    hashes.push_back(hash_of(source_name(data.name(entry))) &
                     static_cast<std::uint32_t>(buckets - 1));
    ++data.index[hashes.back() + 1];
  }
  for (std::size_t i = 1; i <= buckets; ++i) data.index[i] += data.index[i - 1];
  std::vector<std::uint32_t> next(data.index.begin(),
                                  data.index.begin() + static_cast<std::ptrdiff_t>(buckets));
  for (std::uint32_t i = 0; i < hashes.size(); ++i) data.index[buckets + 1 + next[hashes[i]]++] = i;
  return table;
}

SymbolTable::Raw SymbolTable::raw() const {
  return {std::as_bytes(std::span(data_->entries)), std::as_bytes(std::span(data_->index)),
          data_->names};
}

Result<SymbolTable> SymbolTable::from_raw(const Raw& raw, std::uint64_t delta) {
  constexpr std::uint64_t kKernelHalf = 0xffff'8000'0000'0000;
  SymbolTable table;
  Data& data = *table.data_;
  const auto fill = [](Bytes from, auto& into) {
    if (from.size() % sizeof into[0] != 0) return false;
    into.resize(from.size() / sizeof into[0]);
    std::memcpy(into.data(), from.data(), from.size());
    return true;
  };
  if (!fill(raw.entries, data.entries) || !fill(raw.index, data.index)) {
    return fail(Errc::malformed, 0, "symbol table");
  }
  data.names = raw.names;
  data.modules = {""};
  for (auto& entry : data.entries) {
    if (entry.name > data.names.size() || data.names.size() - entry.name < entry.size ||
        entry.module != 0 ||
        (entry.wide && (entry.low > data.names.size() || data.names.size() - entry.low < 8))) {
      return fail(Errc::malformed, entry.name, "symbol name");
    }
    const auto address = data.address(entry);
    if (address >= kKernelHalf) data.set_address(entry, address + delta);
  }
  if (data.index.size() <= data.entries.size() || !std::has_single_bit(data.buckets()))
    return fail(Errc::malformed, data.index.size(), "symbol index");
  const auto starts = std::span(data.index).first(data.buckets() + 1);
  if (!std::ranges::is_sorted(starts) || starts.back() != data.entries.size())
    return fail(Errc::malformed, starts.back(), "symbol index");
  for (const std::uint32_t entry : std::span(data.index).subspan(starts.size())) {
    if (entry >= data.entries.size()) return fail(Errc::malformed, entry, "symbol index");
  }
  if (!std::ranges::is_sorted(data.entries, {},
                              [&](const Entry& entry) { return data.address(entry); })) {
    return fail(Errc::malformed, 0, "symbol order");
  }
  return table;
}

std::size_t SymbolTable::size() const { return data_->entries.size(); }

Symbol SymbolTable::at(std::size_t index) const { return data_->symbol(data_->entries[index]); }

std::optional<Gva> SymbolTable::find(std::string_view name) const {
  // They come by address: the kernel's first of just that name ends the search.
  const Entry* best = nullptr;
  data_->each(name, [&](const Entry& entry) {
    const bool whole = data_->name(entry) == name;
    const auto rank = [&](const Entry& e) {
      return std::pair(e.module != 0, data_->name(e) != name);
    };
    if (best == nullptr || rank(entry) < rank(*best)) best = &entry;
    return !whole || entry.module != 0;
  });
  if (best == nullptr) return std::nullopt;
  return Gva{data_->address(*best)};
}

std::vector<Symbol> SymbolTable::all(std::string_view name) const {
  std::vector<Symbol> found;
  data_->each(name, [&](const Entry& entry) {
    found.push_back(data_->symbol(entry));
    return true;
  });
  return found;
}

std::size_t SymbolTable::lower_bound(Gva address) const {
  return static_cast<std::size_t>(data_->lower_bound(address.value) - data_->entries.begin());
}

std::optional<Symbol> SymbolTable::nearest(Gva address, std::uint64_t reach) const {
  const auto after =
      address.value == UINT64_MAX ? data_->entries.end() : data_->lower_bound(address.value + 1);
  if (after == data_->entries.begin()) return std::nullopt;
  // Of several names for one address the first is the one people know (as kallsyms_lookup()).
  const std::uint64_t found = data_->address(*std::prev(after));
  if (address.value - found >= reach) return std::nullopt;
  return data_->symbol(*data_->lower_bound(found));
}

std::vector<std::string> SymbolTable::similar(std::string_view name, std::size_t most) const {
  const std::size_t reach = std::max<std::size_t>(1, name.size() / 3);
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const auto& entry : data_->entries) {
    const auto candidate = data_->name(entry);
    const std::size_t far = edit_distance(name, candidate, reach);
    if (far <= reach) near.emplace_back(far, candidate);
  }
  std::ranges::sort(near);
  const auto repeats = std::ranges::unique(near);
  near.erase(repeats.begin(), repeats.end());
  std::vector<std::string> names;
  for (auto& [far, candidate] : near) {
    if (names.size() == most) break;
    names.push_back(std::move(candidate));
  }
  return names;
}

std::string symbolize(const SymbolTable& symbols, Gva address) {
  const auto symbol = symbols.nearest(address);
  if (!symbol) return fmt::format("{:#x}", address.value);
  std::string text = symbol->module.empty() ? "" : fmt::format("[{}] ", symbol->module);
  text += symbol->name;
  if (address != symbol->address) text += fmt::format("+{:#x}", address - symbol->address);
  return text;
}

}  // namespace vitrine::linux
