// Guest-virtual memory made of pages that a test writes; what was not written is not present.
#pragma once

#include <array>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "memory/virtual_memory.h"

namespace vitrine::test {

class FakeMemory final : public VirtualMemory {
 public:
  [[nodiscard]] Result<void> read(Gva from, MutableBytes into) const override {
    ++reads;
    if (fail_at != 0 && reads == fail_at) return fail(Errc::not_present, from.value, "swept");
    for (std::size_t done = 0; done < into.size();) {
      const Gva at = from + done;
      const auto page = pages_.find(at.value / kPageSize);
      if (page == pages_.end()) return fail(Errc::not_present, at.value, "page");
      const auto offset = at.value % kPageSize;
      const auto size = std::min<std::size_t>(kPageSize - offset, into.size() - done);
      std::memcpy(into.data() + done, page->second.data() + offset, size);
      done += size;
    }
    return {};
  }

  void write(Gva to, Bytes bytes) {
    for (std::size_t done = 0; done < bytes.size(); ++done) {
      const Gva at = to + done;
      pages_[at.value / kPageSize][at.value % kPageSize] = bytes[done];
    }
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put(Gva to, T value) {
    write(to, std::as_bytes(std::span<const T, 1>(&value, 1)));
  }
  void put(Gva to, Gva pointer) { put(to, pointer.value); }
  void text(Gva to, std::string_view value) {
    write(to, bytes_of(value));
    put(to + value.size(), '\0');
  }
  void unmap(Gva page) { pages_.erase(page.value / kPageSize); }

  mutable std::size_t reads = 0;
  std::size_t fail_at = 0;  ///< the read that fails, counted from 1; 0: none

 private:
  std::unordered_map<std::uint64_t, std::array<std::byte, kPageSize>> pages_;
};

}  // namespace vitrine::test
