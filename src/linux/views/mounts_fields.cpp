#include "linux/views/mounts_fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "linux/kernel.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

// Source: include/linux/mount.h (MNT_*) and include/linux/fs.h (SB_*), 5.10 to 7.3; printed as
// by show_mnt_opts() and show_sb_opts() in fs/proc_namespace.c.
constexpr std::uint32_t kReadOnly = 0x40;
constexpr std::uint32_t kCursor = 0x1000'0000;
constexpr std::pair<std::uint32_t, const char*> kOptions[] = {
    {0x01, "nosuid"},     {0x02, "nodev"},    {0x04, "noexec"},     {0x08, "noatime"},
    {0x10, "nodiratime"}, {0x20, "relatime"}, {0x80, "nosymfollow"}};
constexpr std::pair<std::uint64_t, const char*> kSuperOptions[] = {
    {1 << 4, "sync"}, {1 << 7, "dirsync"}, {1 << 6, "mand"}, {1 << 25, "lazytime"}};
constexpr std::uint64_t kSuperReadOnly = 1;

// In mnt_flags up to 6.16, then in mnt_t_flags as T_SHARED and T_UNBINDABLE.
constexpr std::uint32_t kShared = 0x1000, kUnbindable = 0x2000;
constexpr std::uint32_t kSharedApart = 1, kUnbindableApart = 2;

constexpr unsigned kMaxMasters = 4096;
constexpr std::size_t kMaxPeers = 1 << 16;
constexpr std::size_t kMaxTold = 4096;

}  // namespace

Outcome<MountFields> MountFields::open(const Kernel& kernel) {
  MountFields f;
  f.kernel_ = &kernel;
  FieldBinder bind(kernel.types());
  bind(f.id_, "mount.mnt_id");
  bind(f.group_, "mount.mnt_group_id");
  bind(f.parent_, "mount.mnt_parent");
  bind(f.master_, "mount.mnt_master");
  bind(f.space_, "mount.mnt_ns");
  bind(f.superblock_, "mount.mnt.mnt_sb");
  bind(f.root_, "mount.mnt.mnt_root");
  bind(f.flags_, "mount.mnt.mnt_flags");
  bind(f.propagation_flags_, "mount.mnt_t_flags");
  bind(f.source_, "mount.mnt_devname");
  bind(f.vfsmount_, "mount.mnt");
  bind(f.share_, "mount.mnt_share");
  bind(f.device_, "super_block.s_dev");
  bind(f.super_flags_, "super_block.s_flags");
  bind(f.type_, "super_block.s_type->name");
  bind(f.subtype_, "super_block.s_subtype");
  bind(f.super_operations_, "super_block.s_op");
  bind(f.super_info_, "super_block.s_fs_info");
  bind(f.super_user_, "super_block.s_user_ns");
  bind(f.idmap_, "mount.mnt.mnt_idmap");
  bind(f.user_, "mount.mnt.mnt_userns");
  bind(f.namespace_of_dentry_, "dentry.d_inode->i_private");
  bind(f.namespace_kind_, "ns_common.ops->name");
  bind(f.namespace_inode_, "ns_common.inum");
  bind(f.tmpfs_blocks_, "shmem_sb_info.max_blocks");
  bind(f.tmpfs_inodes_, "shmem_sb_info.max_inodes");
  bind(f.tmpfs_mode_, "shmem_sb_info.mode");
  bind(f.tmpfs_uid_, "shmem_sb_info.uid.val");
  bind(f.tmpfs_gid_, "shmem_sb_info.gid.val");
  if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));
  f.no_idmap_ = kernel.symbols().find("nop_mnt_idmap");
  f.invalid_idmap_ = kernel.symbols().find("invalid_mnt_idmap");
  f.initial_user_ = kernel.symbols().find("init_user_ns");
  f.tmpfs_operations_ = kernel.symbols().find("shmem_ops");
  f.copy_ = Snapshot(Span::covering(f.id_, f.group_, f.parent_, f.master_, f.space_, f.superblock_,
                                    f.root_, f.flags_, f.propagation_flags_, f.source_));
  return f;
}

bool MountFields::is_cursor(Gva mount) const {
  const auto flags = flags_.read(kernel_->memory(), mount);
  return flags && (*flags & kCursor) != 0;
}

Result<MountFacts> MountFields::read(Gva mount, Gva space, PathPoint root,
                                     const PathReader& paths) {
  const auto& memory = kernel_->memory();
  TRY(copy_.load(memory, mount));
  if (TRY(space_.read(copy_)) != space) return fail(Errc::torn, mount.value, "mount.mnt_ns");
  MountFacts facts;
  facts.id = TRY(id_.read(copy_));
  const Gva parent = TRY(parent_.read(copy_));
  facts.parent_id = TRY(id_.read(memory, parent));
  const Gva superblock = TRY(superblock_.read(copy_));
  const Gva top = TRY(root_.read(copy_));
  const Filesystem& filesystem = *TRY(this->filesystem(superblock));
  facts.device = filesystem.device;
  facts.type = filesystem.type;
  facts.super_options = filesystem.options;
  facts.filesystem_options = filesystem.own_options;
  facts.source = TRY(source_.find(memory, copy_)).value_or("none");
  facts.root = TRY(root_of(top, filesystem.kind, paths));

  auto path = TRY(paths.text({vfsmount_.in(mount), top}, root));
  facts.visible = !path.unreachable;
  // A mount is where it is, though what is mounted there was unlinked since.
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.deleted && path.text.ends_with(kDeleted)) {
    path.text.resize(path.text.size() - kDeleted.size());
  }
  facts.point = std::move(path.text);

  facts.options = options_of(TRY(flags_.read(copy_)), superblock, mount);
  facts.propagation = propagation_of(space, root, paths);
  return facts;
}

Result<const MountFields::Filesystem*> MountFields::filesystem(Gva superblock) {
  if (const auto told = told_.find(superblock); told != told_.end()) return &told->second;
  const auto& memory = kernel_->memory();
  Filesystem says;
  says.device = TRY(device_.read(memory, superblock));
  says.kind = TRY(type_.read(memory, superblock));
  says.type = says.kind;
  const auto subtype = TRY(subtype_.find(memory, superblock));
  if (subtype && !subtype->empty()) says.type += "." + *subtype;
  const auto flags = TRY(super_flags_.read(memory, superblock));
  says.options = (flags & kSuperReadOnly) != 0 ? "ro" : "rw";
  for (const auto& [flag, name] : kSuperOptions) {
    if ((flags & flag) != 0) says.options += fmt::format(",{}", name);
  }
  says.own_options = tmpfs_options(superblock, says.kind);
  if (told_.size() >= kMaxTold) told_.clear();
  return &told_.emplace(superblock, std::move(says)).first->second;
}

std::string MountFields::options_of(std::uint32_t flags, Gva superblock, Gva mount) const {
  std::string options = (flags & kReadOnly) != 0 ? "ro" : "rw";
  for (const auto& [flag, name] : kOptions) {
    if ((flags & flag) != 0) options += fmt::format(",{}", name);
  }
  if (idmapped(superblock, mount)) options += ",idmapped";
  return options;
}

/// Source: is_idmapped_mnt(): by a struct mnt_idmap since 6.2, by a user namespace since 5.12.
bool MountFields::idmapped(Gva superblock, Gva mount) const {
  const auto& memory = kernel_->memory();
  if (idmap_.exists()) {
    const auto map = idmap_.read(memory, mount);
    return map && *map && no_idmap_ && **map && **map != *no_idmap_ && **map != invalid_idmap_;
  }
  const auto user = user_.read(memory, mount);
  if (!user || !*user || !**user || !initial_user_) return false;
  const auto owner = super_user_.read(memory, superblock);
  return **user != *initial_user_ && !(owner && *owner == **user);
}

/// Source: show_mountinfo(): a file system's own show_path(), of which nsfs's and the
/// control groups' are the common ones; the latter tells the same as the entries do.
Result<std::string> MountFields::root_of(Gva dentry, const std::string& type,
                                         const PathReader& paths) const {
  const auto& memory = kernel_->memory();
  if (type == "nsfs") {
    const auto common = TRY(namespace_of_dentry_.read(memory, dentry));
    if (common && *common) {
      const auto kind = TRY(namespace_kind_.read(memory, *common));
      const auto inode = TRY(namespace_inode_.read(memory, *common));
      if (kind && inode) return fmt::format("{}:[{}]", *kind, *inode);
    }
  }
  return paths.within_filesystem(dentry);
}

/// Source: shmem_show_options() in mm/shmem.c, which leaves out what equals its default.
std::optional<std::string> MountFields::tmpfs_options(Gva superblock, std::string_view kind) const {
  const auto& memory = kernel_->memory();
  const auto operations = super_operations_.read(memory, superblock);
  // Where kallsyms has no data, by its name: without CONFIG_SHMEM the types below are not there.
  const bool is_tmpfs = tmpfs_operations_ ? operations && *operations == tmpfs_operations_
                                          : kind == "tmpfs" || kind == "devtmpfs";
  if (!is_tmpfs) return std::nullopt;
  const auto info = super_info_.read(memory, superblock);
  if (!info || !*info || !**info) return std::nullopt;
  const auto blocks = tmpfs_blocks_.read(memory, **info);
  const auto inodes = tmpfs_inodes_.read(memory, **info);
  const auto mode = tmpfs_mode_.read(memory, **info);
  const auto uid = tmpfs_uid_.read(memory, **info);
  const auto gid = tmpfs_gid_.read(memory, **info);
  if (!blocks || !inodes || !mode || !uid || !gid) return std::nullopt;
  if (!*blocks || !*inodes || !*mode || !*uid || !*gid) return std::nullopt;
  return fmt::format("size={}k,nr_inodes={},mode={:03o},uid={},gid={}", **blocks * 4, **inodes,
                     **mode, **uid, **gid);
}

std::vector<std::string> MountFields::propagation_of(Gva space, PathPoint root,
                                                     const PathReader& paths) const {
  const auto& memory = kernel_->memory();
  std::vector<std::string> words;
  bool shared = false;
  bool unbindable = false;
  if (propagation_flags_.exists()) {
    const auto flags = propagation_flags_.read(copy_).value_or(std::nullopt).value_or(0);
    shared = (flags & kSharedApart) != 0;
    unbindable = (flags & kUnbindableApart) != 0;
  } else {
    const auto flags = flags_.read(copy_).value_or(0);
    shared = (flags & kShared) != 0;
    unbindable = (flags & kUnbindable) != 0;
  }
  if (shared) words.push_back(fmt::format("shared:{}", group_.read(copy_).value_or(0)));
  const Gva master = master_.read(copy_).value_or(Gva{});
  if (master) {
    const auto group = group_.read(memory, master);
    if (group) {
      words.push_back(fmt::format("master:{}", *group));
      const auto from = dominating_group(master, space, root, paths);
      if (from && *from != 0 && *from != *group) {
        words.push_back(fmt::format("propagate_from:{}", *from));
      }
    }
  }
  if (unbindable) words.emplace_back("unbindable");
  return words;
}

/// The nearest group on the way up the masters that has a member in sight.
/// Source: get_dominating_id() in fs/pnode.c.
std::optional<std::int32_t> MountFields::dominating_group(Gva master, Gva space, PathPoint root,
                                                          const PathReader& paths) const {
  const auto& memory = kernel_->memory();
  const auto in_sight = [&](Gva mount) {
    if (space_.read(memory, mount).value_or(Gva{}) != space) return false;
    const auto top = root_.read(memory, mount);
    if (!top) return false;
    const auto path = paths.text({vfsmount_.in(mount), *top}, root);
    return path && !path->unreachable;
  };
  std::size_t left = kMaxPeers;  // of all masters: each could be given the same long list
  for (unsigned step = 0; master && left > 0 && step < kMaxMasters; ++step) {
    bool seen = in_sight(master);
    if (!seen) {
      const auto walked = walk_list(memory, share_.in(master), left, [&](Gva node) {
        seen = in_sight(share_.owner(node));
        return !seen;
      });
      left -= std::min(left, walked.visited);
    }
    if (seen) {
      const auto group = group_.read(memory, master);
      if (!group) return std::nullopt;
      return *group;
    }
    master = master_.read(memory, master).value_or(Gva{});
  }
  return std::nullopt;
}

}  // namespace vitrine::linux
