#include "x86/address_space.h"

#include <algorithm>
#include <cstring>

namespace vitrine::x86 {

Result<const AddressSpace::Slot*> AddressSpace::page_of(Gva address) const {
  const std::uint64_t page = address.value & ~(kPageSize - 1);
  Slot& slot = slots_[(page / kPageSize) % kSlots];
  if (slot.page == page) return &slot;
  const auto found = TRY(x86::translate(ram_, root_, Gva{page}));
  slot = Slot{page, found.address.value};
  return &slot;
}

Result<void> AddressSpace::read(Gva from, MutableBytes into) const {
  while (!into.empty()) {
    const Slot& slot = *TRY(page_of(from));
    const std::uint64_t inside = from.value % kPageSize;
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPageSize - inside, into.size()));
    TRY(ram_.read(Gpa{slot.frame + inside}, into.first(size)));
    into = into.subspan(size);
    from += size;
  }
  return {};
}

Result<Translation> AddressSpace::translate(Gva address) const {
  return x86::translate(ram_, root_, address);
}

void AddressSpace::forget() const { slots_.fill(Slot{}); }

}  // namespace vitrine::x86
