#include "linux/path.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {

namespace {

/// Far above any real tree of mounts; a chain of them that is longer leads in a circle.
constexpr std::size_t kMaxMounts = 10'000;
constexpr std::size_t kMaxTold = 16'384;
constexpr std::size_t kMostOfDentry = 1024;  // 192 bytes, and its lock's where that is debugged
constexpr std::size_t kLongestTold = 4096;   // PATH_MAX

}  // namespace

Outcome<PathLayout> PathLayout::of(const TypeCatalogue& types) {
  PathLayout layout;
  FieldBinder bind(types);
  const auto place = [&](std::uint32_t& offset, std::initializer_list<PathName> names) {
    Embedded member;
    bind(member, names);
    if (member.bound()) offset = static_cast<std::uint32_t>(member.offset().value_or(0));
    return member;
  };
  place(layout.path_mnt, {"path.mnt"});
  place(layout.path_dentry, {"path.dentry"});
  place(layout.dentry_hash_pprev, {"dentry.d_hash.pprev"});
  place(layout.dentry_parent, {"dentry.d_parent"});
  place(layout.dentry_name, {"dentry.d_name.name"});
  place(layout.dentry_name_length, {"dentry.d_name.len"});
  place(layout.dentry_inode, {"dentry.d_inode"});
  // A union, d_shortname, since 6.14 (58cf9c383c5c).
  layout.dentry_inline_size = static_cast<std::uint32_t>(
      place(layout.dentry_inline_name, {"dentry.d_iname", "dentry.d_shortname"}).size());
  place(layout.dentry_operations, {"dentry.d_op"});
  place(layout.dentry_superblock, {"dentry.d_sb"});
  place(layout.dentry_fsdata, {"dentry.d_fsdata"});
  layout.dentry_size = 0;
  for (const auto& [at, size] :
       {std::pair(layout.dentry_hash_pprev, 8U), std::pair(layout.dentry_parent, 8U),
        std::pair(layout.dentry_name, 8U), std::pair(layout.dentry_name_length, 4U),
        std::pair(layout.dentry_inode, 8U), std::pair(layout.dentry_operations, 8U),
        std::pair(layout.dentry_superblock, 8U), std::pair(layout.dentry_fsdata, 8U),
        std::pair(layout.dentry_inline_name, layout.dentry_inline_size)}) {
    layout.dentry_size = std::max(layout.dentry_size, at + size);
  }
  if (bind.done() && layout.dentry_size > kMostOfDentry)
    return std::unexpected(Problem(Errc::implausible, "this kernel's struct dentry is not one"));
  place(layout.operations_dname, {"dentry_operations.d_dname"});
  place(layout.mount_parent, {"mount.mnt_parent"});
  place(layout.mount_mountpoint, {"mount.mnt_mountpoint"});
  place(layout.mount_mnt, {"mount.mnt"});
  place(layout.mnt_root, {"vfsmount.mnt_root"});
  place(layout.inode_number, {"inode.i_ino"});
  place(layout.inode_private, {"inode.i_private"});
  place(layout.superblock_type, {"super_block.s_type"});
  place(layout.type_name, {"file_system_type.name"});
  place(layout.namespace_operations, {"ns_common.ops"});
  place(layout.namespace_operations_name, {"proc_ns_operations.name"});
  place(layout.fs_root, {"fs_struct.root"});
  place(layout.fs_pwd, {"fs_struct.pwd"});
  TRY(bind.done());
  // Without CONFIG_DMA_SHARED_BUFFER there is no such type.
  if (const auto name = Embedded::from(types, "dma_buf.name")) {
    layout.dma_buffer_name = static_cast<std::uint32_t>(name->offset().value_or(0));
  }
  return layout;
}

PathNamers PathNamers::of(const SymbolTable& symbols) {
  const auto at = [&](std::string_view name) { return symbols.find(name).value_or(Gva{}); };
  return {.sockets = at("sockfs_dname"),
          .pipes = at("pipefs_dname"),
          .anonymous_inodes = at("anon_inodefs_dname"),
          .namespaces = at("ns_dname"),
          .simple = at("simple_dname"),
          .dma_buffers = at("dmabuffs_dname"),
          .process_files = at("pidfs_dname")};
}

Outcome<PathReader> PathReader::open(const Kernel& kernel) {
  PathReader reader(kernel.memory(), TRY(PathLayout::of(kernel.types())),
                    PathNamers::of(kernel.symbols()));
  const auto fs = TRY(Field<Gva>::from(kernel.types(), "task_struct.fs"));
  const auto reaper = TRY(Field<Gva>::from(kernel.types(), "pid_namespace.child_reaper"));
  reader.task_fs_ = static_cast<std::uint32_t>(fs.offset().value_or(0));
  if (const auto init = kernel.symbols().find("init_pid_ns")) {
    reader.init_reaper_ = *init + reaper.offset().value_or(0);
    reader.from_kernel_ = true;
  }
  reader.forget();
  return reader;
}

void PathReader::set_root(PathPoint root) {
  root_ = root;
  from_kernel_ = false;
  told_.clear();
}

void PathReader::forget() {
  told_.clear();
  if (!from_kernel_) return;
  root_ = {};
  const auto init = memory_->load<Gva>(init_reaper_);
  if (!init || !*init) return;
  const auto fs = memory_->load<Gva>(*init + task_fs_);
  if (!fs || !*fs) return;
  root_ = root_of(*fs).value_or(PathPoint{});
}

struct PathReader::Entry {
  Gva at, parent, inode, operations, superblock, fsdata;
  bool hashed = false;
  std::string name;
  [[nodiscard]] bool is_root() const { return parent == at; }
};

Result<PathPoint> PathReader::point_at(Gva at) const {
  return PathPoint{.mount = TRY(memory_->load<Gva>(at + layout_.path_mnt)),
                   .dentry = TRY(memory_->load<Gva>(at + layout_.path_dentry))};
}

Result<PathReader::Entry> PathReader::entry_at(Gva dentry) const {
  if (!is_kernel_pointer(dentry)) return fail(Errc::malformed, dentry.value, "dentry");
  // One read takes in all members.
  std::array<std::byte, kMostOfDentry> room;
  const auto bytes = MutableBytes(room).first(layout_.dentry_size);
  TRY(memory_->read(dentry, bytes));
  const auto pointer = [&](std::uint32_t offset) {
    return Gva{load<std::uint64_t>(bytes, offset).value_or(0)};
  };
  Entry entry{.at = dentry,
              .parent = pointer(layout_.dentry_parent),
              .inode = pointer(layout_.dentry_inode),
              .operations = pointer(layout_.dentry_operations),
              .superblock = pointer(layout_.dentry_superblock),
              .fsdata = pointer(layout_.dentry_fsdata),
              .hashed = static_cast<bool>(pointer(layout_.dentry_hash_pprev))};
  const std::size_t length = load<std::uint32_t>(bytes, layout_.dentry_name_length).value_or(0);
  const Gva name = pointer(layout_.dentry_name);
  if (length > kMaxBytes) return fail(Errc::malformed, dentry.value, "dentry.d_name.len");
  if (name == dentry + layout_.dentry_inline_name) {
    const auto text = load_string(bytes, layout_.dentry_inline_name, layout_.dentry_inline_size);
    if (!text || text->size() != length) return fail(Errc::torn, dentry.value, "dentry.d_name");
    entry.name = *text;
    return entry;
  }
  if (!is_kernel_pointer(name, 1)) return fail(Errc::malformed, dentry.value, "dentry.d_name.name");
  entry.name = TRY(memory_->load_string(name, length + 1));
  // A NUL stands where the length says, or the two are of different moments.
  if (entry.name.size() != length) return fail(Errc::torn, dentry.value, "dentry.d_name");
  return entry;
}

Result<std::string> PathReader::name_of(Gva dentry) const { return TRY(entry_at(dentry)).name; }

Result<PathText> PathReader::named_by_function(const Entry& entry, Gva namer) const {
  const auto inode_number = [&]() -> Result<std::uint64_t> {
    return memory_->load<std::uint64_t>(entry.inode + layout_.inode_number);
  };
  if (namer == namers_.sockets) {  // net/socket.c
    return PathText{.text = fmt::format("socket:[{}]", TRY(inode_number()))};
  }
  if (namer == namers_.pipes) {  // fs/pipe.c
    return PathText{.text = fmt::format("pipe:[{}]", TRY(inode_number()))};
  }
  if (namer == namers_.anonymous_inodes) {  // fs/anon_inodes.c
    return PathText{.text = "anon_inode:" + entry.name};
  }
  if (namer == namers_.process_files) {  // fs/pidfs.c, 6.9 on
    return PathText{.text = "anon_inode:[pidfd]"};
  }
  if (namer == namers_.namespaces) {  // fs/nsfs.c: i_private is the ns_common
    const auto common = TRY(memory_->load<Gva>(entry.inode + layout_.inode_private));
    const auto operations = TRY(memory_->load<Gva>(common + layout_.namespace_operations));
    const auto name = TRY(memory_->load<Gva>(operations + layout_.namespace_operations_name));
    return PathText{
        .text = fmt::format("{}:[{}]", TRY(memory_->load_string(name, 64)), TRY(inode_number()))};
  }
  if (namer == namers_.simple) {  // fs/d_path.c: memfd, SysV shared memory, shared /dev/zero
    return PathText{.text = fmt::format("/{} (deleted)", entry.name), .deleted = true};
  }
  if (namer == namers_.dma_buffers && layout_.dma_buffer_name) {  // drivers/dma-buf/dma-buf.c
    std::string label;
    if (entry.fsdata) {
      const auto name = TRY(memory_->load<Gva>(entry.fsdata + *layout_.dma_buffer_name));
      if (name) label = TRY(memory_->load_string(name, 64));
    }
    return PathText{.text = fmt::format("/{}:{}", entry.name, label)};
  }
  const auto type = TRY(memory_->load<Gva>(entry.superblock + layout_.superblock_type));
  const auto name = TRY(memory_->load<Gva>(type + layout_.type_name));
  return PathText{.text = fmt::format("{}:{}", TRY(memory_->load_string(name, 64)), entry.name),
                  .guessed = true};
}

Result<Gva> PathReader::mount_root(Gva mount) const {
  if (!is_kernel_pointer(mount)) return fail(Errc::malformed, mount.value, "path.mnt");
  return memory_->load<Gva>(mount + layout_.mnt_root);
}

// As prepend_path() in fs/d_path.c does, without its locks.
Result<PathText> PathReader::climb(PathPoint path, PathPoint up_to) const {
  PathText out;
  std::vector<std::string> components;
  std::size_t bytes = 0;
  std::size_t mounts = 0;
  PathPoint at = path;
  Gva root = TRY(mount_root(at.mount));
  auto entry = TRY(entry_at(at.dentry));
  out.deleted = !entry.hashed && !entry.is_root();
  while (at != up_to) {
    if (at.dentry == root) {
      const Gva mount = at.mount - layout_.mount_mnt;
      const auto parent = TRY(memory_->load<Gva>(mount + layout_.mount_parent));
      if (parent == mount) {  // the root of a mount tree, which is not the one asked for
        out.unreachable = true;
        break;
      }
      if (++mounts > kMaxMounts) return fail(Errc::cycle, mount.value, "mount.mnt_parent");
      at.dentry = TRY(memory_->load<Gva>(mount + layout_.mount_mountpoint));
      at.mount = parent + layout_.mount_mnt;
      root = TRY(mount_root(at.mount));
      if (at == up_to) break;
      entry = TRY(entry_at(at.dentry));
      continue;
    }
    if (entry.is_root()) {  // escaped: moved out of what its bind mount shows
      components.clear();
      out.unreachable = true;
      break;
    }
    bytes += entry.name.size() + 1;
    if (components.size() == kMaxComponents || bytes > kMaxBytes) {
      return fail(Errc::too_large, path.dentry.value, "path");
    }
    components.push_back(std::move(entry.name));
    at.dentry = entry.parent;
    if (at == up_to) break;
    entry = TRY(entry_at(at.dentry));
  }
  out.text.reserve(bytes + 16);
  for (auto component = components.rbegin(); component != components.rend(); ++component) {
    out.text += '/';
    out.text += *component;
  }
  if (components.empty()) out.text = "/";
  if (out.deleted) out.text += " (deleted)";
  return out;
}

Result<PathText> PathReader::text(PathPoint path, PathPoint up_to) const {
  // Who has no name in a directory is asked for one, unless it is a mount's root (d_path).
  const auto entry = TRY(entry_at(path.dentry));
  if (entry.operations) {
    const auto namer = TRY(memory_->load<Gva>(entry.operations + layout_.operations_dname));
    if (namer && (!entry.is_root() || path.dentry != TRY(mount_root(path.mount)))) {
      return named_by_function(entry, namer);
    }
  }
  return climb(path, up_to);
}

Result<PathText> PathReader::text(PathPoint path) const {
  if (const auto told = told_.find(path); told != told_.end()) return told->second;
  auto text = TRY(this->text(path, root_));
  // Folders in folders make paths longer than any program can say: those are not remembered.
  if (text.text.size() > kLongestTold) return text;
  if (told_.size() >= kMaxTold) told_.clear();
  return told_.emplace(path, std::move(text)).first->second;
}

Result<std::string> PathReader::within_filesystem(Gva dentry) const {
  std::vector<std::string> components;
  std::size_t bytes = 0;
  auto entry = TRY(entry_at(dentry));
  const bool deleted = !entry.hashed && !entry.is_root();
  while (!entry.is_root()) {
    bytes += entry.name.size() + 1;
    if (components.size() == kMaxComponents || bytes > kMaxBytes) {
      return fail(Errc::too_large, dentry.value, "path");
    }
    components.push_back(std::move(entry.name));
    entry = TRY(entry_at(entry.parent));
  }
  std::string text;
  for (auto component = components.rbegin(); component != components.rend(); ++component) {
    text += '/';
    text += *component;
  }
  if (components.empty()) text = "/";
  if (deleted) text += "//deleted";
  return text;
}

}  // namespace vitrine::linux
