#include "memory/virtual_memory.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace vitrine {

Result<std::string> VirtualMemory::load_string(Gva from, std::size_t limit) const {
  std::string text;
  std::array<char, 256> chunk;
  while (text.size() < limit) {
    const std::uint64_t page_rest = kPageSize - from.value % kPageSize;
    const auto size = static_cast<std::size_t>(
        std::min<std::uint64_t>({page_rest, limit - text.size(), chunk.size()}));
    const std::span piece(chunk.data(), size);
    if (auto done = read(from, std::as_writable_bytes(piece)); !done) {
      return std::unexpected(done.error());
    }
    if (const void* end = std::memchr(piece.data(), 0, size)) {
      text.append(piece.data(),
                  static_cast<std::size_t>(static_cast<const char*>(end) - piece.data()));
      return text;
    }
    text.append(piece.data(), size);
    from += size;
  }
  return text;
}

}  // namespace vitrine
