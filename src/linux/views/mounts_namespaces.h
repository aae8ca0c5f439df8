// The mount namespaces, and where "/" is in each.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/path.h"
#include "linux/tasks.h"
#include "linux/view.h"

namespace vitrine::linux {

class Kernel;

struct MountNamespace {
  Gva address;                      ///< struct mnt_namespace
  std::int64_t inode = 0;           ///< as `readlink /proc/PID/ns/mnt` shows it
  std::optional<std::int64_t> pid;  ///< the first process in it, by pid
  PathPoint root;                   ///< that process's root directory; else the namespace's own
};

/// Threads: one at a time.
class MountNamespaces {
 public:
  static constexpr std::size_t kLimit = 1 << 20;

  /// @returns not_found  a member or symbol that is missing
  [[nodiscard]] static Outcome<MountNamespaces> open(const Kernel& kernel);

  /// The namespaces of all processes, by their first process's pid; then those that the
  /// kernel knows (from 6.11 on) though no process is in them: held by a descriptor or a
  /// bind mount. Older kernels keep no list of those; each costs a look at every process.
  [[nodiscard]] std::vector<MountNamespace> list(const PathReader& paths, Tally& tally) const;

 private:
  void add_from_tree(std::vector<MountNamespace>& found, Tally& tally) const;

  const Kernel* kernel_ = nullptr;
  std::optional<TaskList> tasks_;
  Field<Gva> proxy_, fs_, of_proxy_;
  Field<std::uint32_t> inode_;
  Field<Gva> root_mount_;
  Embedded vfsmount_;
  Field<Gva> vfsmount_root_;
  Gva tree_;                                ///< the rb_root of all; 0: none
  std::optional<std::uint64_t> tree_node_;  ///< mnt_namespace's rb_node in it
};

}  // namespace vitrine::linux
