// BlockHeap: blocks by powers of two in address space that is reserved once.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>

namespace vitrine::probe {

/// Address space that costs memory when it is touched.
class Reserve {
 public:
  [[nodiscard]] bool open(std::size_t size) {
    void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return false;
    data_ = static_cast<std::byte*>(at);
    size_ = size;
    return true;
  }
  Reserve() = default;
  Reserve(const Reserve&) = delete;
  Reserve& operator=(const Reserve&) = delete;
  ~Reserve() {
    if (data_ != nullptr) munmap(data_, size_);
  }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Blocks of 16 bytes to 8 MiB, named by their place in units of 16 bytes. What is given back is
/// taken again by the next that asks for a block of its class; nothing moves and nothing is merged.
class BlockHeap {
 public:
  static constexpr std::size_t kUnit = 16;
  static constexpr unsigned kClasses = 20;  ///< class n holds blocks of kUnit << n bytes

  /// @returns false  the operating system gives no address space
  [[nodiscard]] bool open(std::size_t size) { return room_.open(size); }

  /// A block of at least `size` bytes (not 0). Nothing if there is none.
  /// @param kind  out: its class
  [[nodiscard]] std::optional<std::uint32_t> take(std::uint32_t size, unsigned& kind) noexcept {
    kind = static_cast<unsigned>(std::bit_width((size - 1) / kUnit));
    if (kind >= kClasses) return std::nullopt;
    if (const auto head = free_[kind]; head != 0) {
      std::uint64_t next = 0;
      std::memcpy(&next, at(head - 1), sizeof next);
      free_[kind] = static_cast<std::uint32_t>(next);
      return head - 1;
    }
    const std::size_t units = std::size_t{1} << kind;
    if (room_.size() / kUnit - used_ < units) return std::nullopt;
    const auto block = static_cast<std::uint32_t>(used_);
    used_ += units;
    return block;
  }
  void give(std::uint32_t block, unsigned kind) noexcept {
    const std::uint64_t next = free_[kind];
    std::memcpy(at(block), &next, sizeof next);
    free_[kind] = block + 1;
  }
  /// All blocks are free.
  void clear() noexcept {
    used_ = 0;
    std::fill(std::begin(free_), std::end(free_), 0);
  }

  [[nodiscard]] std::byte* at(std::uint32_t block) const noexcept {
    return room_.data() + std::size_t{block} * kUnit;
  }
  /// What was ever taken since clear(), from block 0 on: for a copy of it all.
  [[nodiscard]] const std::byte* begin() const noexcept { return room_.data(); }
  [[nodiscard]] const std::byte* end() const noexcept { return room_.data() + used_ * kUnit; }

 private:
  Reserve room_;
  std::size_t used_ = 0;               // units
  std::uint32_t free_[kClasses] = {};  // block + 1, the first of a list
};

}  // namespace vitrine::probe
