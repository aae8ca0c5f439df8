// The control groups that a task is in.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"

namespace vitrine::linux {

class Kernel;

/// Names control groups by their css_set, with a memory of what it named since forget().
/// Threads: one at a time.
class CgroupNames {
 public:
  /// @returns not_found  a kernel without CONFIG_CGROUPS, or a member that is missing
  [[nodiscard]] static Outcome<CgroupNames> open(const Kernel& kernel);

  /// The path in the unified hierarchy (cgroup2): "/system.slice/ssh.service", "/".
  /// A group that was removed ends in " (deleted)". Errors as VirtualMemory::read, cycle.
  [[nodiscard]] Result<std::string> unified(Gva css_set) const;

  /// One line a hierarchy as /proc/PID/cgroup prints them: "4:memory:/a", "0::/b", the
  /// newest hierarchy first. The unified one is left out while it was never mounted.
  [[nodiscard]] Result<std::vector<std::string>> all(Gva css_set) const;

  void forget() const { paths_.clear(); }

 private:
  explicit CgroupNames(const VirtualMemory& memory) : memory_(&memory) {}
  [[nodiscard]] Result<std::string> path_of(Gva cgroup) const;
  [[nodiscard]] std::string controllers_of(Gva root) const;

  const VirtualMemory* memory_;
  Field<Gva> default_group_;       // css_set.dfl_cgrp
  Embedded links_;                 // css_set.cgrp_links
  Field<Gva> link_group_;          // cgrp_cset_link.cgrp
  Embedded link_node_;             // cgrp_cset_link.cgrp_link
  Field<Gva> node_, root_;         // cgroup.kn, .root
  Field<std::uint32_t> flags_;     // cgroup.self.flags
  Field<Gva> parent_;              // kernfs_node.__parent
  Field<std::string> name_;        // kernfs_node.name
  Field<std::int32_t> hierarchy_;  // cgroup_root.hierarchy_id
  Field<std::string> root_name_;   // cgroup_root.name
  Field<std::uint32_t> mask_;      // cgroup_root.subsys_mask
  Field<std::string> controller_;  // cgroup_subsys.legacy_name
  Gva controllers_;                // cgroup_subsys[]: pointers; 0: unknown
  Gva visible_;                    // cgrp_dfl_visible; 0: unknown
  mutable std::unordered_map<Gva, std::string> paths_;
};

}  // namespace vitrine::linux
