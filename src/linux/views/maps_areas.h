// The memory areas of one mm_struct, in order of address.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/walk/maple_tree.h"
#include "linux/walk/walk.h"

namespace vitrine {
class ReadAhead;
}
namespace vitrine::linux {
class Kernel;
}

namespace vitrine::linux::maps {

/// What vm_area_struct says of one area.
struct Area {
  Gva at;  ///< the vm_area_struct
  Gva start, end;
  std::uint64_t flags = 0;
  std::uint64_t page_offset = 0;
  Gva file, operations, private_data;
  Gva anonymous_name;  ///< struct anon_vma_name; 0: none, or names are not built in
};

struct Areas {
  std::vector<Area> areas;
  bool truncated = false;
  /// Why the list ends early or contradicts itself, after all retries.
  std::optional<Error> broken;
  std::size_t retries = 0;
};

/// Finds areas by the list mm_struct.mmap (up to 6.0) or the maple tree mm_struct.mm_mt
/// (6.1 on, 763ecb035029).
class AreaFinder {
 public:
  /// Far above vm.max_map_count, which is 65530 where nobody raised it.
  static constexpr std::size_t kMaxAreas = 1u << 20;

  /// @returns not_found  the members that are missing
  [[nodiscard]] static Outcome<AreaFinder> open(const Kernel& kernel);

  /// The areas of `mm`. Each names that mm as its own and they do not overlap, or
  /// `broken` says which one did not.
  [[nodiscard]] Areas find(Gva mm) const;

  /// Any vm_area_struct: the gate's.
  [[nodiscard]] Result<Area> read(Gva area) const;

 private:
  explicit AreaFinder(const Kernel& kernel);
  [[nodiscard]] Result<void> add(Areas& found, Gva mm, Gva area, std::optional<Gva> first,
                                 std::optional<Gva> last) const;
  [[nodiscard]] Areas find_once(Gva mm) const;

  const VirtualMemory* memory_;
  const ReadAhead* ahead_;
  OptionalField<Gva> first_;  // mm_struct.mmap
  OptionalField<Gva> next_;   // vm_area_struct.vm_next
  OptionalField<Gva> tree_;   // mm_struct.mm_mt.ma_root
  MapleLayout maple_;
  Field<Gva> start_, end_, mm_, file_, operations_, private_data_;
  Field<std::uint64_t> flags_, page_offset_;
  OptionalField<Gva> anonymous_name_;
  bool name_shares_ = false;  // up to 6.1 the name lies where a file's area has a tree node
  Span span_;
};

}  // namespace vitrine::linux::maps
