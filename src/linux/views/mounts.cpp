#include <fmt/core.h>

#include "linux/kernel.h"
#include "linux/views/all_views.h"
#include "linux/views/mounts_fields.h"
#include "linux/views/mounts_namespaces.h"
#include "linux/walk/list.h"
#include "linux/walk/rb_tree.h"

namespace vitrine::linux {
namespace {

enum Index : std::size_t {
  kNamespace,
  kMountId,
  kParentId,
  kDevice,
  kRoot,
  kMountPoint,
  kOptions,
  kType,
  kSource,
  kPropagation,
  kSuperOptions,
  kFilesystemOptions,
  kVisible,
  kPid,
  kAddress,
};

constexpr Column kColumns[] = {
    {"mnt_ns", ColumnType::integer, "mount namespace: mnt:[inode] in /proc/PID/ns"},
    {"mount_id", ColumnType::integer, "number of the mount (mount.mnt_id)"},
    {"parent_id", ColumnType::integer, "number of the mount it is mounted on", Column::hidden},
    {"device", ColumnType::text, "major:minor of the file system (super_block.s_dev)"},
    {"root", ColumnType::text, "what of the file system is mounted: '/' is all of it"},
    {"mount_point", ColumnType::text,
     "where, as the namespace's first process sees it (its root directory is '/')"},
    {"options", ColumnType::text, "of this mount: ro or rw, nosuid, nodev, noexec ..."},
    {"type", ColumnType::text, "file system type, with its subtype: ext4, fuse.sshfs"},
    {"source", ColumnType::text, "what was mounted, as its mounter named it (mnt_devname)"},
    {"propagation", ColumnType::list,
     "shared:N, master:N, propagate_from:N, unbindable; empty: private", Column::hidden},
    {"super_options", ColumnType::text, "of the file system: ro or rw, sync, dirsync, lazytime",
     Column::hidden},
    {"filesystem_options", ColumnType::text,
     "of a tmpfs: size, nr_inodes, mode, uid, gid, also where they are the default. Other types "
     "print theirs by functions of their own",
     Column::hidden},
    {"visible", ColumnType::boolean,
     "the first process can reach it: /proc/PID/mountinfo lists only those", Column::hidden},
    {"pid", ColumnType::integer, "the namespace's first process, by pid; none: held otherwise",
     Column::hidden},
    {"address", ColumnType::address, "struct mount", Column::hidden},
};

constexpr ViewInfo kInfo{"mounts", "what is mounted where, in every mount namespace", kColumns,
                         "by namespace (that of the lowest pid first), then as /proc/PID/mountinfo",
                         "mnt_ns mount_id"};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, MountNamespaces namespaces, MountFields fields, PathReader paths)
      : kernel_(kernel),
        namespaces_(std::move(namespaces)),
        fields_(std::move(fields)),
        paths_(std::move(paths)) {}

  /// A list up to 6.7; since 2eea9ce4310d of 6.8 a tree, ordered by the mounts' unique numbers.
  Outcome<void> bind() {
    const auto& types = kernel_.types();
    if (auto list = Embedded::from(types, "mnt_namespace.list")) {
      collection_ = *list;
      link_ = TRY(Embedded::from(types, "mount.mnt_list"));
      is_tree_ = false;
    } else {
      collection_ = TRY(Embedded::from(types, "mnt_namespace.mounts"));
      link_ = TRY(Embedded::from(types, "mount.mnt_node"));
      is_tree_ = true;
    }
    return {};
  }

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    paths_.forget();
    fields_.forget();
    for (const auto& space : namespaces_.list(paths_, tally)) {
      if (space.pid ? !rows.wants_pid(*space.pid) : !rows.wants_pid(kNoPid)) continue;
      if (!read_namespace(space, rows, tally)) break;
    }
    return tally;
  }

 private:
  static constexpr std::size_t kLimit = 1 << 20;
  static constexpr std::int64_t kNoPid = -1;

  bool read_namespace(const MountNamespace& space, RowSink& rows, Tally& tally) {
    const auto& memory = kernel_.memory();
    bool more = true;
    const auto visit = [&](Gva node) {
      const Gva mount = link_.owner(node);
      if (!is_tree_ && fields_.is_cursor(mount)) return true;
      more = read_mount(mount, space, rows, tally);
      return more;
    };
    const Gva head = collection_.in(space.address);
    const auto walked = is_tree_ ? walk_rb_tree(memory, head, kLimit, visit)
                                 : walk_list(memory, head, kLimit, visit);
    tally.truncated |= walked.truncated;
    if (walked.broken) {
      tally.warnings.push_back(fmt::format("mounts of namespace {} end early: {}", space.inode,
                                           describe(*walked.broken)));
    }
    return more;
  }

  bool read_mount(Gva mount, const MountNamespace& space, RowSink& rows, Tally& tally) {
    constexpr unsigned kTries = 3;
    auto facts = fields_.read(mount, space.address, space.root, paths_);
    for (unsigned attempt = 1; !facts && attempt < kTries; ++attempt) {
      ++tally.retries;
      facts = fields_.read(mount, space.address, space.root, paths_);
    }
    if (!facts) {
      ++tally.dropped;
      tally.warnings.push_back(fmt::format("the mount at {:#x} of namespace {}: {}", mount.value,
                                           space.inode, describe(facts.error())));
      return true;
    }
    rows.begin();
    rows.set(kNamespace, space.inode);
    rows.set(kMountId, facts->id);
    rows.set(kParentId, facts->parent_id);
    // Source: MAJOR() and MINOR() in include/linux/kdev_t.h
    rows.set(kDevice, fmt::format("{}:{}", facts->device >> 20, facts->device & 0xf'ffff));
    rows.set(kRoot, std::move(facts->root));
    if (facts->point) rows.set(kMountPoint, *std::move(facts->point));
    rows.set(kOptions, std::move(facts->options));
    rows.set(kType, std::move(facts->type));
    rows.set(kSource, std::move(facts->source));
    rows.set(kPropagation, std::move(facts->propagation));
    rows.set(kSuperOptions, std::move(facts->super_options));
    if (facts->filesystem_options)
      rows.set(kFilesystemOptions, *std::move(facts->filesystem_options));
    rows.set(kVisible, facts->visible);
    if (space.pid) rows.set(kPid, *space.pid);
    rows.set(kAddress, mount.value);
    return rows.end();
  }

  const Kernel& kernel_;
  MountNamespaces namespaces_;
  MountFields fields_;
  PathReader paths_;
  Embedded collection_, link_;
  bool is_tree_ = false;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto namespaces = TRY(MountNamespaces::open(kernel));
  auto fields = TRY(MountFields::open(kernel));
  auto paths = TRY(PathReader::open(kernel));
  auto reader =
      std::make_unique<Reader>(kernel, std::move(namespaces), std::move(fields), std::move(paths));
  if (auto bound = reader->bind(); !bound) return std::unexpected(std::move(bound.error()));
  return reader;
}

}  // namespace

const View mounts_view(kInfo, open);

}  // namespace vitrine::linux
