// What one mount says of itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/path.h"

namespace vitrine::linux {

class Kernel;

struct MountFacts {
  std::int64_t id = 0, parent_id = 0;
  std::uint32_t device = 0;          ///< as the kernel numbers it: major << 20 | minor
  std::string root;                  ///< within its file system: what of it is mounted
  std::optional<std::string> point;  ///< where, from the root that was given
  bool visible = true;  ///< that root can reach it: /proc/PID/mountinfo lists only those
  std::string options, super_options;
  std::optional<std::string> filesystem_options;
  std::string type, source;
  std::vector<std::string> propagation;
};

/// Threads: one at a time.
class MountFields {
 public:
  /// @returns not_found  a member that is missing
  [[nodiscard]] static Outcome<MountFields> open(const Kernel& kernel);

  /// Reads the mount at `mount` of namespace `space`, told from `root`.
  /// @returns torn  it is not (or no more) of that namespace
  /// Other errors as VirtualMemory::read.
  [[nodiscard]] Result<MountFacts> read(Gva mount, Gva space, PathPoint root,
                                        const PathReader& paths);

  /// True for what stands in a list of mounts and is none: the place of a reader of
  /// /proc/PID/mounts (MNT_CURSOR, 5.8 to 6.7).
  [[nodiscard]] bool is_cursor(Gva mount) const;

  /// Forgets what file systems said of themselves: before a new look.
  void forget() { told_.clear(); }

 private:
  /// What all mounts of one file system say alike.
  struct Filesystem {
    std::uint32_t device = 0;
    std::string kind;  ///< its type, without the subtype
    std::string type, options;
    std::optional<std::string> own_options;
  };
  [[nodiscard]] Result<const Filesystem*> filesystem(Gva superblock);
  [[nodiscard]] std::string options_of(std::uint32_t flags, Gva superblock, Gva mount) const;
  [[nodiscard]] bool idmapped(Gva superblock, Gva mount) const;
  [[nodiscard]] Result<std::string> root_of(Gva dentry, const std::string& type,
                                            const PathReader& paths) const;
  [[nodiscard]] std::optional<std::string> tmpfs_options(Gva superblock,
                                                         std::string_view kind) const;
  [[nodiscard]] std::vector<std::string> propagation_of(Gva space, PathPoint root,
                                                        const PathReader& paths) const;
  [[nodiscard]] std::optional<std::int32_t> dominating_group(Gva master, Gva space, PathPoint root,
                                                             const PathReader& paths) const;

  const Kernel* kernel_ = nullptr;
  std::unordered_map<Gva, Filesystem> told_;
  Field<std::int32_t> id_, group_;
  Field<Gva> parent_, master_, space_;
  Field<Gva> superblock_, root_;
  Field<std::uint32_t> flags_;
  OptionalField<std::uint32_t> propagation_flags_;  ///< mount.mnt_t_flags, apart since 6.17
  Field<std::string> source_;
  Embedded vfsmount_, share_;
  Snapshot copy_{Span{}};

  Field<std::uint32_t> device_;
  Field<std::uint64_t> super_flags_;
  Field<std::string> type_, subtype_;
  OptionalField<Gva> super_operations_, super_info_, super_user_;
  OptionalField<Gva> idmap_, user_;
  std::optional<Gva> no_idmap_, invalid_idmap_, initial_user_;

  OptionalField<Gva> namespace_of_dentry_;
  OptionalField<std::string> namespace_kind_;
  OptionalField<std::uint32_t> namespace_inode_;

  std::optional<Gva> tmpfs_operations_;
  OptionalField<std::uint64_t> tmpfs_blocks_, tmpfs_inodes_;
  OptionalField<std::uint16_t> tmpfs_mode_;
  OptionalField<std::uint32_t> tmpfs_uid_, tmpfs_gid_;
};

}  // namespace vitrine::linux
