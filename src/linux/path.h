// Paths: a mount and a directory entry, told as the kernel's d_path() tells them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/address.h"
#include "base/problem.h"
#include "linux/symbols.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

class Kernel;
class TypeCatalogue;

/// A `struct path`.
struct PathPoint {
  Gva mount;   ///< struct vfsmount, as embedded in a struct mount
  Gva dentry;  ///< struct dentry
  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(dentry); }
  bool operator==(const PathPoint&) const = default;
};

struct PathText {
  /// "/usr/bin/sleep", "/tmp/gone (deleted)", "socket:[123]", "pipe:[1]",
  /// "anon_inode:[eventfd]", "/memfd:x (deleted)", "mnt:[4026531840]".
  std::string text;
  bool deleted = false;  ///< the name is gone: the text ends in " (deleted)"
  /// The way up ended at another root than the one asked for: another mount namespace,
  /// or a mount taken out of its tree (umount -l). The text is the way to that root, as
  /// readlink of /proc/PID/fd shows it too; getcwd would put "(unreachable)" before it.
  bool unreachable = false;
  /// The file system names its files by a function that is not known here; the text is
  /// TYPE:NAME from its type and the entry's plain name.
  bool guessed = false;
};

/// Where this kernel keeps what a path is made of: offsets in bytes.
struct PathLayout {
  std::uint32_t path_mnt = 0, path_dentry = 0;
  std::uint32_t dentry_hash_pprev = 0;  ///< dentry.d_hash.pprev; 0 there: unhashed
  std::uint32_t dentry_parent = 0, dentry_name = 0, dentry_name_length = 0, dentry_inode = 0;
  std::uint32_t dentry_inline_name = 0, dentry_inline_size = 0;  ///< d_iname or d_shortname
  std::uint32_t dentry_size = 192;  ///< what of a dentry holds these; more with lock debugging
  std::uint32_t dentry_operations = 0, dentry_superblock = 0, dentry_fsdata = 0;
  std::uint32_t operations_dname = 0;  ///< dentry_operations.d_dname
  std::uint32_t mount_parent = 0, mount_mountpoint = 0, mount_mnt = 0, mnt_root = 0;
  std::uint32_t inode_number = 0, inode_private = 0;
  std::uint32_t superblock_type = 0, type_name = 0;
  std::uint32_t namespace_operations = 0, namespace_operations_name = 0;
  std::optional<std::uint32_t> dma_buffer_name;
  std::uint32_t fs_root = 0, fs_pwd = 0;  ///< in fs_struct

  /// @returns not_found  the message names the member that is missing
  [[nodiscard]] static Outcome<PathLayout> of(const TypeCatalogue& types);
};

/// The kernel's functions that name what has no name in a directory: addresses by
/// which a dentry's d_op->d_dname is recognised. 0: not in this kernel.
struct PathNamers {
  Gva sockets, pipes, anonymous_inodes, namespaces, simple, dma_buffers, process_files;

  [[nodiscard]] static PathNamers of(const SymbolTable& symbols);
};

/// Turns paths into text, with a memory of what it told since forget().
///
/// Threads: one at a time.
class PathReader {
 public:
  /// Components and bytes of one path; longer ones are too_large (the kernel itself
  /// refuses above 4096 bytes).
  static constexpr std::size_t kMaxComponents = 4096;
  static constexpr std::size_t kMaxBytes = 64 * 1024;

  /// @returns not_found  a member that this kernel's types lack; the message names it
  [[nodiscard]] static Outcome<PathReader> open(const Kernel& kernel);
  /// `memory` must outlive this.
  PathReader(const VirtualMemory& memory, const PathLayout& layout, const PathNamers& namers)
      : memory_(&memory), layout_(layout), namers_(namers) {}

  [[nodiscard]] const PathLayout& layout() const { return layout_; }

  /// The struct path at `at`. Errors as VirtualMemory::read().
  [[nodiscard]] Result<PathPoint> point_at(Gva at) const;
  /// The root of the fs_struct at `fs`: `up_to` of text(). Errors likewise.
  [[nodiscard]] Result<PathPoint> root_of(Gva fs) const { return point_at(fs + layout_.fs_root); }
  [[nodiscard]] Result<PathPoint> working_directory_of(Gva fs) const {
    return point_at(fs + layout_.fs_pwd);
  }

  /// What readlink says that is done by a process whose root directory is root().
  /// @returns torn, malformed  a name shorter than its dentry says, or longer than one can be
  /// @returns too_large, cycle; else as VirtualMemory::read()
  /// Cost: one read for each component the first time, a hash look-up after that.
  [[nodiscard]] Result<PathText> text(PathPoint path) const;
  /// The same up to another root; not remembered.
  [[nodiscard]] Result<PathText> text(PathPoint path, PathPoint up_to) const;

  /// The way from the file system's own root to `dentry`: "/" for that root itself; the
  /// 4th field of /proc/PID/mountinfo. Unlinked entries end in "//deleted". Errors as text().
  [[nodiscard]] Result<std::string> within_filesystem(Gva dentry) const;

  /// The entry's own name, without its directory. Errors as text().
  [[nodiscard]] Result<std::string> name_of(Gva dentry) const;

  /// Where "/" is. open() sets it to that of the init process (init_pid_ns.child_reaper):
  /// what an administrator's shell in the guest would see.
  [[nodiscard]] PathPoint root() const { return root_; }
  void set_root(PathPoint root);
  /// Forgets the texts, and reads init's root again if open() found it.
  void forget();

 private:
  struct Entry;
  [[nodiscard]] Result<Entry> entry_at(Gva dentry) const;
  [[nodiscard]] Result<Gva> mount_root(Gva mount) const;
  [[nodiscard]] Result<PathText> named_by_function(const Entry& entry, Gva namer) const;
  [[nodiscard]] Result<PathText> climb(PathPoint path, PathPoint up_to) const;

  struct HashPoint {
    std::size_t operator()(const PathPoint& point) const noexcept {
      return std::hash<std::uint64_t>{}(point.dentry.value * 31 + point.mount.value);
    }
  };
  const VirtualMemory* memory_;
  PathLayout layout_;
  PathNamers namers_;
  PathPoint root_;
  bool from_kernel_ = false;   // root_ is init's, read again by forget()
  Gva init_reaper_;            // &init_pid_ns.child_reaper
  std::uint32_t task_fs_ = 0;  // task_struct.fs
  mutable std::unordered_map<PathPoint, PathText, HashPoint> told_;
};

}  // namespace vitrine::linux
