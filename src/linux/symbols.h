// SymbolTable: the kernel's names, and its modules', as kallsyms has them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::linux {

struct Symbol {
  Gva address;
  char type = '?';          ///< as nm: 't' local text, 'T' global text, 'd' data ...
  std::string_view name;    ///< lives as long as the table
  std::string_view module;  ///< empty for the kernel itself
};

/// Sorted by address; names are found by an index. Names may repeat (static functions). The suffix
/// of link-time optimization (".llvm.123", ".lto_priv.0") may be left out of a name that is asked
/// for. Threads: immutable once built, free to share.
class SymbolTable {
 public:
  class Builder {
   public:
    /// `name` is copied. Addresses may come in any order.
    void add(std::uint64_t address, char type, std::string_view name, std::uint16_t module = 0);
    /// @returns the number to give to add(). 0 is the kernel itself.
    std::uint16_t module(std::string_view name);
    void reserve(std::size_t symbols, std::size_t name_bytes);
    /// The first of that name, as added. Cost: a pass over all.
    [[nodiscard]] std::optional<std::uint64_t> find(std::string_view name) const;
    /// Moves every address by `delta` (modulo 2^64).
    void relocate(std::uint64_t delta);
    [[nodiscard]] SymbolTable build() &&;

   private:
    friend class SymbolTable;
    struct Entry {
      std::uint64_t address;
      std::uint32_t name;  // offset into names_
      std::uint32_t size;
      std::uint16_t module;
      char type;
    };
    std::vector<Entry> entries_;
    std::string names_;
    std::vector<std::string> modules_{""};
  };

  /// The table's own memory, for keeping it in a file: written and read on one machine.
  struct Raw {
    Bytes entries, index;
    std::string_view names;
  };
  [[nodiscard]] Raw raw() const;
  /// A table of the kernel alone (no modules) from such memory, its addresses moved by
  /// `delta` where they lie in the kernel's half.
  /// @returns malformed  an offset leaves its array: the file is not what was written
  [[nodiscard]] static Result<SymbolTable> from_raw(const Raw& raw, std::uint64_t delta);

  SymbolTable();
  SymbolTable(SymbolTable&&) noexcept;
  SymbolTable& operator=(SymbolTable&&) noexcept;
  ~SymbolTable();

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] Symbol at(std::size_t index) const;  ///< in order of address

  /// The number of the first symbol at or above `address`; size() if there is none.
  [[nodiscard]] std::size_t lower_bound(Gva address) const;

  /// The kernel's own symbol of that name (the first by address if there are
  /// several), else a module's. Cost: a hash and about one comparison.
  [[nodiscard]] std::optional<Gva> find(std::string_view name) const;
  /// All of that name, by address.
  [[nodiscard]] std::vector<Symbol> all(std::string_view name) const;
  /// The last symbol at or below `address`, if one is within `reach` bytes.
  [[nodiscard]] std::optional<Symbol> nearest(Gva address, std::uint64_t reach = 1 << 20) const;
  /// Names closest to a mistyped one, best first.
  [[nodiscard]] std::vector<std::string> similar(std::string_view name, std::size_t most = 3) const;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

/// "do_exit+0x12", "[ext4] ext4_readdir", or the bare hexadecimal address.
[[nodiscard]] std::string symbolize(const SymbolTable& symbols, Gva address);

}  // namespace vitrine::linux
