#include "x86/address_space.h"

#include <algorithm>

namespace vitrine::x86 {

Result<Gpa> AddressSpace::physical(Gva address) const {
  const auto slot_of = [&](auto& slots, std::uint64_t size) -> Slot& {
    return slots[(address.value / size) % kSlots];
  };
  const auto inside = [&](std::uint64_t size) { return address.value & (size - 1); };
  Slot& large = slot_of(large_, kLarge);
  if (large.start == address.value - inside(kLarge)) return Gpa{large.frame + inside(kLarge)};
  Slot& small = slot_of(small_, kPageSize);
  if (small.start == address.value - inside(kPageSize)) return Gpa{small.frame + inside(kPageSize)};

  const auto found = TRY(x86::translate(ram_, root_, address));
  const std::uint64_t size = found.page_size >= kLarge ? kLarge : kPageSize;
  Slot& slot = size == kLarge ? large : small;
  slot = {address.value - inside(size), found.address.value - inside(size)};
  return found.address;
}

Result<void> AddressSpace::read(Gva from, MutableBytes into) const {
  while (!into.empty()) {
    const Gpa at = TRY(physical(from));
    const auto size = static_cast<std::size_t>(
        std::min<std::uint64_t>(kPageSize - from.value % kPageSize, into.size()));
    TRY(ram_.read(at, into.first(size)));
    into = into.subspan(size);
    from += size;
  }
  return {};
}

Result<Translation> AddressSpace::translate(Gva address) const {
  return x86::translate(ram_, root_, address);
}

void AddressSpace::forget() const {
  small_.fill(Slot{});
  large_.fill(Slot{});
}

}  // namespace vitrine::x86
