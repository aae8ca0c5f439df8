// ORC tables of any bytes under any layout: a rule is one that the walk knows, or refused; the
// place that is found is the last at or before the address if the table is sorted.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "format/orc.h"

using namespace vitrine;

namespace {

format::OrcBits bits_of(Bytes layout, std::size_t at) {
  return {*load<std::uint16_t>(layout, at), *load<std::uint8_t>(layout, at + 2)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kHead = 32;
  const Bytes all(reinterpret_cast<const std::byte*>(data), size);
  if (size < kHead) return 0;
  format::OrcLayout layout;
  if ((data[0] & 0xc0) == 0) {
    layout = {6, {0, 16}, {16, 16}, {32, 4}, {36, 4}, {40, 2}, {}, {42, 1}, {}};
  } else if ((data[0] & 0xc0) == 0x40) {
    layout = {6, {0, 16}, {16, 16}, {32, 4}, {36, 4}, {40, 3}, {43, 1}, {}, {}};
  } else {
    layout.size = data[0] & 0x1f;
    layout.sp_offset = bits_of(all, 1);
    layout.bp_offset = bits_of(all, 4);
    layout.sp_base = bits_of(all, 7);
    layout.bp_base = bits_of(all, 10);
    layout.type = bits_of(all, 13);
    layout.signal = bits_of(all, 16);
    layout.end = bits_of(all, 19);
  }
  layout.numbering = format::find_orc_numbering(all.subspan(kHead), layout);
  const auto start = *load<std::uint64_t>(all, 22);
  const auto tables = all.subspan(kHead);
  if (const auto rule = format::parse_orc(tables, layout)) {
    if (rule->kind > format::OrcKind::interrupt_registers) std::abort();
    if (rule->sp_base > format::OrcBase::sp_indirect) std::abort();
    if (rule->kind > format::OrcKind::end && rule->sp_base == format::OrcBase::undefined)
      std::abort();
  }
  bool sorted = true;
  const auto place = [&](std::size_t index) {
    return start + index * 4 + static_cast<std::uint64_t>(*load<std::int32_t>(tables, index * 4));
  };
  const auto count = tables.size() / 4;
  for (std::size_t i = 1; i < count; ++i) sorted = sorted && place(i - 1) <= place(i);
  for (std::size_t i = 0; i < count; ++i) {
    const auto address = place(i);
    const auto found = format::find_orc(tables, start, address);
    if (found && *found >= count) std::abort();
    if (!sorted) continue;
    if (!found || *found < i || place(*found) != address) std::abort();
  }
  return 0;
}
