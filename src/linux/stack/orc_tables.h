// OrcTables: the rule by which this kernel itself would walk the stack of a piece of its code.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "format/orc.h"
#include "linux/field.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

class Kernel;

/// One table of the kernel or of a module, and the code that it describes.
struct OrcTable {
  struct Code {
    Gva start;
    std::uint64_t size = 0;
    [[nodiscard]] bool contains(Gva at) const { return at - start < size; }
  };
  std::vector<Code> code;
  Gva places, rules;  ///< int[count]; struct orc_entry[count]
  std::uint64_t count = 0;
  Gva index;  ///< unsigned[]: orc_lookup, a place's number for each 256 bytes of code; 0: none
  std::uint64_t index_count = 0;
};

/// Threads: one at a time.
class OrcTables {
 public:
  /// More than any kernel has (about half a million); a count beyond it is forged.
  static constexpr std::uint64_t kMaxPlaces = 1u << 24;

  /// `memory` must outlive this.
  OrcTables(const VirtualMemory& memory, const format::OrcLayout& layout,
            std::vector<OrcTable> tables);

  /// The kernel's table, and its modules' (read at the first need after forget()).
  /// @returns not_found  no tables (CONFIG_UNWINDER_FRAME_POINTER), or no types: the
  ///   message says which
  [[nodiscard]] static Outcome<OrcTables> open(const Kernel& kernel);

  /// The rule at `address`.
  /// @returns not_found  no table describes it: generated code, or no code at all
  /// @returns malformed, out_of_bounds  the table contradicts itself
  /// Other errors as VirtualMemory::read.
  /// Cost: about 20 reads of 4 bytes, 3 with an index, none for an address asked before.
  [[nodiscard]] Result<format::OrcRule> find(Gva address) const;

  /// Does a table describe code at `address`?
  [[nodiscard]] bool describes(Gva address) const { return table_of(address) != nullptr; }

  /// Modules may have come and gone.
  void forget();

 private:
  [[nodiscard]] const OrcTable* table_of(Gva address) const;
  [[nodiscard]] Result<format::OrcRule> find_in(const OrcTable& table, Gva address) const;
  [[nodiscard]] std::optional<std::uint64_t> by_index(const OrcTable& table, Gva address) const;
  [[nodiscard]] Result<std::uint64_t> by_search(const OrcTable& table, Gva address) const;
  void read_modules_tables() const;

  const VirtualMemory* memory_;
  format::OrcLayout layout_;
  std::vector<OrcTable> tables_;
  const Kernel* kernel_ = nullptr;
  Field<std::uint32_t> module_count_;
  Field<Gva> module_places_, module_rules_;
  mutable bool modules_known_ = true;
  mutable std::vector<OrcTable> module_tables_;
  mutable std::unordered_map<std::uint64_t, format::OrcRule> known_;
};

}  // namespace vitrine::linux
