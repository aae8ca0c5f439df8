// Many strings that lie side by side: a page is read once, not once a string.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// Keeps the last page it read. For one pass over tables of names; make a new one to look again.
class StringReader {
 public:
  explicit StringReader(const VirtualMemory& memory) : memory_(memory) {}

  /// The text at `from` up to its NUL, at most `limit` bytes.
  Result<void> read(Gva from, std::uint64_t limit, std::string& text) {
    text.clear();
    while (text.size() < limit) {
      const Gva at = from + text.size();
      const Gva page{at.value & ~(kPageSize - 1)};
      if (!page_ || *page_ != page) {
        page_.reset();
        if (auto done = memory_.read(page, bytes_); !done) return std::unexpected(done.error());
        page_ = page;
      }
      const auto rest = Bytes(bytes_).subspan(at - page);
      const auto room = rest.first(std::min<std::uint64_t>(rest.size(), limit - text.size()));
      const auto* start = reinterpret_cast<const char*>(room.data());
      const auto* end = static_cast<const char*>(std::memchr(start, 0, room.size()));
      text.append(start, end != nullptr ? static_cast<std::size_t>(end - start) : room.size());
      if (end != nullptr) break;
    }
    return {};
  }

 private:
  const VirtualMemory& memory_;
  std::optional<Gva> page_;
  std::array<std::byte, kPageSize> bytes_{};
};

}  // namespace vitrine::linux
