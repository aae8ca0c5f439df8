#include "linux/stack/orc_tables.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "linux/kernel.h"
#include "linux/modules.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kPlaceSize = sizeof(std::int32_t);
constexpr std::uint64_t kBlock = 256;  // bytes of code for each number of orc_lookup
constexpr std::uint64_t kMaxBlockPlaces = 512;
constexpr std::uint64_t kSample = 1024;      // rules that tell how bases are numbered
constexpr std::size_t kMaxKnown = 1u << 16;  // rules kept

Outcome<format::OrcBits> bits_of(const TypeCatalogue& types, std::string_view member) {
  const auto path = TRY(MemberPath::compile(types, member));
  const auto& route = path.route();
  const auto width = route.bit_width != 0 ? route.bit_width : route.size * 8;
  if (route.offset > format::kMaxOrcRule || width > 32) {
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("{} lies where no rule has it", member)));
  }
  return format::OrcBits{static_cast<std::uint16_t>(route.offset * 8 + route.bit_shift),
                         static_cast<std::uint8_t>(width)};
}

Outcome<format::OrcLayout> layout_of(const TypeCatalogue& types) {
  format::OrcLayout layout;
  const auto size = TRY(types.size_of("orc_entry"));
  if (size > format::kMaxOrcRule) {
    return std::unexpected(
        Problem(Errc::invalid, "struct orc_entry is larger than any that is known"));
  }
  layout.size = static_cast<std::uint32_t>(size);
  layout.sp_offset = TRY(bits_of(types, "orc_entry.sp_offset"));
  layout.bp_offset = TRY(bits_of(types, "orc_entry.bp_offset"));
  layout.sp_base = TRY(bits_of(types, "orc_entry.sp_reg"));
  layout.bp_base = TRY(bits_of(types, "orc_entry.bp_reg"));
  layout.type = TRY(bits_of(types, "orc_entry.type"));
  if (const auto signal = bits_of(types, "orc_entry.signal")) layout.signal = *signal;
  if (const auto end = bits_of(types, "orc_entry.end")) layout.end = *end;
  return layout;
}

}  // namespace

OrcTables::OrcTables(const VirtualMemory& memory, const format::OrcLayout& layout,
                     std::vector<OrcTable> tables)
    : memory_(&memory), layout_(layout), tables_(std::move(tables)) {}

Outcome<OrcTables> OrcTables::open(const Kernel& kernel) {
  const auto& symbols = kernel.symbols();
  const auto find = [&](std::string_view name) { return symbols.find(name).value_or(Gva{}); };
  OrcTable own;
  own.places = find("__start_orc_unwind_ip");
  own.rules = find("__start_orc_unwind");
  const auto end = find("__stop_orc_unwind_ip");
  if (!own.places || !own.rules || end < own.places) {
    return std::unexpected(Problem(Errc::not_found, "this kernel has no ORC tables",
                                   "its stacks are walked by frame pointers"));
  }
  if (!kernel.has_types()) {
    return std::unexpected(Problem(
        Errc::not_found, "this kernel has no BTF, so the layout of its ORC tables is unknown"));
  }
  own.count = (end - own.places) / kPlaceSize;
  for (const auto& [first, last] :
       {std::pair("_stext", "_etext"), std::pair("_sinittext", "_einittext")}) {
    if (const auto from = find(first), to = find(last); from && to > from)
      own.code.push_back({from, to - from});
  }
  if (const auto from = find("orc_lookup"), to = find("orc_lookup_end"); from && to > from) {
    own.index = from;
    own.index_count = (to - from) / sizeof(std::uint32_t);
  }
  auto layout = TRY(layout_of(kernel.types()));
  std::array<std::byte, kSample * format::kMaxOrcRule> sample;
  const auto rules = MutableBytes(sample).first(std::min(kSample, own.count) * layout.size);
  if (kernel.memory().read(own.rules, rules)) {
    layout.numbering = format::find_orc_numbering(rules, layout);
  }
  OrcTables tables(kernel.memory(), layout, {std::move(own)});
  FieldBinder bind(kernel.types());
  bind(tables.module_count_, "module.arch.num_orcs");
  bind(tables.module_places_, "module.arch.orc_unwind_ip");
  bind(tables.module_rules_, "module.arch.orc_unwind");
  if (bind.done()) {
    tables.kernel_ = &kernel;
    tables.modules_known_ = false;
  }
  return tables;
}

void OrcTables::forget() {
  if (kernel_ == nullptr) return;
  for (const auto& table : module_tables_) {
    std::erase_if(known_, [&](const auto& rule) {
      for (const auto& code : table.code) {
        if (code.contains(Gva{rule.first})) return true;
      }
      return false;
    });
  }
  modules_known_ = false;
  module_tables_.clear();
}

void OrcTables::read_modules_tables() const {
  modules_known_ = true;
  const auto list = read_modules(*kernel_);
  if (!list) return;
  for (const auto& module : list->modules) {
    const auto count = module_count_.read(*memory_, module.address);
    const auto places = module_places_.read(*memory_, module.address);
    const auto rules = module_rules_.read(*memory_, module.address);
    if (!count || !places || !rules || *count == 0) continue;
    OrcTable table;
    table.places = *places;
    table.rules = *rules;
    table.count = *count;
    for (const auto part : {kModuleText, kModuleInitText}) {
      if (module.parts[part].size != 0)
        table.code.push_back({module.parts[part].start, module.parts[part].size});
    }
    module_tables_.push_back(std::move(table));
  }
}

const OrcTable* OrcTables::table_of(Gva address) const {
  const auto look = [&](const std::vector<OrcTable>& tables) -> const OrcTable* {
    for (const auto& table : tables) {
      for (const auto& code : table.code) {
        if (code.contains(address)) return &table;
      }
    }
    return nullptr;
  };
  if (const auto* own = look(tables_)) return own;
  if (!modules_known_) read_modules_tables();
  return look(module_tables_);
}

std::optional<std::uint64_t> OrcTables::by_index(const OrcTable& table, Gva address) const {
  // orc_lookup counts from _stext, where the first stretch of code begins.
  if (!table.index || table.code.empty() || !table.code.front().contains(address))
    return std::nullopt;
  const auto block = (address - table.code.front().start) / kBlock;
  if (block + 1 >= table.index_count) return std::nullopt;
  const auto bounds =
      memory_->load<std::array<std::uint32_t, 2>>(table.index + block * sizeof(std::uint32_t));
  if (!bounds) return std::nullopt;
  const std::uint64_t first = (*bounds)[0], count = std::uint64_t{(*bounds)[1]} + 1 - first;
  if (first >= table.count || count == 0 || count > kMaxBlockPlaces || first + count > table.count)
    return std::nullopt;
  std::array<std::byte, kMaxBlockPlaces * kPlaceSize> places;
  const auto some = MutableBytes(places).first(count * kPlaceSize);
  const Gva start = table.places + first * kPlaceSize;
  if (!memory_->read(start, some)) return std::nullopt;
  const auto found = format::find_orc(some, start.value, address.value);
  if (!found) return std::nullopt;
  return first + *found;
}

Result<std::uint64_t> OrcTables::by_search(const OrcTable& table, Gva address) const {
  std::uint64_t low = 0, high = table.count;
  while (low < high) {
    const auto middle = low + (high - low) / 2;
    const Gva at = table.places + middle * kPlaceSize;
    const auto relative = TRY(memory_->load<std::int32_t>(at));
    if (at + static_cast<std::uint64_t>(std::int64_t{relative}) <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return fail(Errc::not_found, address.value, "ORC table");
  return low - 1;
}

Result<format::OrcRule> OrcTables::find_in(const OrcTable& table, Gva address) const {
  if (table.count > kMaxPlaces) return fail(Errc::out_of_bounds, table.places.value, "ORC table");
  const auto indexed = by_index(table, address);
  const auto number = indexed ? *indexed : TRY(by_search(table, address));
  const Gva at = table.rules + number * layout_.size;
  std::array<std::byte, format::kMaxOrcRule> rule;
  const auto bytes = MutableBytes(rule).first(layout_.size);
  TRY(memory_->read(at, bytes));
  auto parsed = format::parse_orc(bytes, layout_);
  if (!parsed) return fail(parsed.error().code, at.value, parsed.error().what);
  return parsed;
}

Result<format::OrcRule> OrcTables::find(Gva address) const {
  if (const auto known = known_.find(address.value); known != known_.end()) return known->second;
  const auto* table = table_of(address);
  if (table == nullptr) return fail(Errc::not_found, address.value, "ORC table");
  auto rule = find_in(*table, address);
  if (rule) {
    if (known_.size() >= kMaxKnown) known_.clear();
    known_.emplace(address.value, *rule);
  }
  return rule;
}

}  // namespace vitrine::linux
