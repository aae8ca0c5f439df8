// The functions that an ELF program or library names, as far as its bytes can be had.
//
// The file belongs to a guest: any of it may be forged, and what its page cache does not hold
// is missing. The full table (.symtab) is taken if it is there, else the dynamic one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

/// Fills its second argument from the file's bytes at the first, or fails.
using ReadFile = std::function<Result<void>(std::uint64_t offset, MutableBytes into)>;

struct ElfFunction {
  std::uint64_t address = 0;  ///< as linked
  std::uint64_t size = 0;     ///< bytes; 0: not said
  std::uint32_t name = 0;     ///< in ElfSymbols::names
  std::uint32_t name_size = 0;
};

class ElfSymbols {
 public:
  /// Bounds; what is beyond them is left out, and incomplete() says so.
  static constexpr std::uint64_t kMaxSymbols = 1u << 19;
  static constexpr std::uint64_t kMaxNames = 32u << 20;

  /// Reads a 64-bit little-endian ELF file of `file_size` bytes.
  /// @returns malformed    it is none
  /// @returns unsupported  a 32-bit one
  /// Errors of `read`, if the header or the program headers cannot be had.
  [[nodiscard]] static Result<ElfSymbols> read(const ReadFile& read, std::uint64_t file_size);

  /// Where the byte at `offset` of the file is linked to; nothing if no segment loads it.
  [[nodiscard]] std::optional<std::uint64_t> address_of(std::uint64_t offset) const;

  struct Found {
    std::string_view name;     ///< lives as long as this
    std::uint64_t offset = 0;  ///< bytes from the function's start
  };
  /// The function at an address as linked.
  [[nodiscard]] std::optional<Found> find(std::uint64_t address) const;

  /// It has a function of that name (of several at one address, any that find() can name).
  /// Cost: all names are looked at.
  [[nodiscard]] bool has(std::string_view name) const;

  [[nodiscard]] std::size_t size() const { return functions_.size(); }
  /// What it takes of memory, in bytes.
  [[nodiscard]] std::size_t footprint() const {
    return names_.capacity() + functions_.capacity() * sizeof(ElfFunction);
  }
  /// ".symtab", ".dynsym", "dynamic segment"; empty: no table could be read.
  [[nodiscard]] std::string_view source() const { return source_; }
  [[nodiscard]] bool incomplete() const { return incomplete_; }

 private:
  struct Load {
    std::uint64_t offset = 0, size = 0, address = 0;
  };
  struct Table {
    std::uint64_t symbols = 0, count = 0, names = 0, names_size = 0;
    std::string_view source;
  };
  [[nodiscard]] std::optional<Table> by_sections(const ReadFile& read, Bytes header) const;
  [[nodiscard]] std::optional<Table> by_dynamic_segment(const ReadFile& read, std::uint64_t offset,
                                                        std::uint64_t size) const;
  [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address) const;
  void take(const ReadFile& read, const Table& table, std::uint64_t file_size);

  std::vector<Load> loads_;
  std::vector<ElfFunction> functions_;  // by address
  std::string names_;
  std::string_view source_;
  bool incomplete_ = false;
};

}  // namespace vitrine::format
