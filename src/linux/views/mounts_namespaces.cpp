#include "linux/views/mounts_namespaces.h"

#include <fmt/core.h>

#include <unordered_set>

#include "linux/kernel.h"
#include "linux/walk/rb_tree.h"

namespace vitrine::linux {

Outcome<MountNamespaces> MountNamespaces::open(const Kernel& kernel) {
  MountNamespaces spaces;
  spaces.kernel_ = &kernel;
  spaces.tasks_ = TRY(TaskList::open(kernel));
  FieldBinder bind(kernel.types());
  bind(spaces.proxy_, "task_struct.nsproxy");
  bind(spaces.fs_, "task_struct.fs");
  bind(spaces.of_proxy_, "nsproxy.mnt_ns");
  bind(spaces.inode_, "mnt_namespace.ns.inum");
  bind(spaces.root_mount_, "mnt_namespace.root");
  bind(spaces.vfsmount_, "mount.mnt");
  bind(spaces.vfsmount_root_, "vfsmount.mnt_root");
  if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));

  // A tree of all namespaces since 1901c92497bd of 6.11: an rb_root, in later kernels an
  // ns_tree_root that starts with one.
  const auto node = Embedded::from(
      kernel.types(), {"mnt_namespace.ns.ns_tree_node.ns_node", "mnt_namespace.mnt_ns_tree_node"});
  if (const auto tree = kernel.symbols().find("mnt_ns_tree"); tree && node) {
    spaces.tree_ = *tree;
    if (kernel.types().find("ns_tree_root")) {
      const auto inside = Embedded::from(kernel.types(), "ns_tree_root.ns_rb");
      if (inside) spaces.tree_ = inside->in(*tree);
    }
    spaces.tree_node_ = node->offset();
  }
  return spaces;
}

std::vector<MountNamespace> MountNamespaces::list(const PathReader& paths, Tally& tally) const {
  const auto& memory = kernel_->memory();
  std::vector<MountNamespace> found;
  std::unordered_set<Gva> seen;
  const auto listing = tasks_->processes();
  listing.note_in(tally);
  std::unordered_set<Gva> proxies;  // most processes share one
  const auto add = [&](TaskRef task) -> bool {
    const auto unreadable = [&](const Error& error) {
      tally.warnings.push_back(
          fmt::format("which mounts {} sees cannot be read: {}", task.tgid, describe(error)));
      return false;
    };
    const auto proxy = proxy_.read(memory, task.address);
    if (!proxy) return unreadable(proxy.error());
    if (!*proxy) return false;  // a zombie
    if (proxies.contains(*proxy)) return true;
    const auto fs = fs_.read(memory, task.address);
    if (!fs) return unreadable(fs.error());
    if (!*fs) return false;
    proxies.insert(*proxy);
    const auto space = of_proxy_.read(memory, *proxy);
    if (!space) return unreadable(space.error());
    if (!is_kernel_pointer(*space)) return false;
    if (!seen.insert(*space).second) return true;
    const auto inode = inode_.read(memory, *space);
    const auto root = paths.root_of(*fs);
    if (!inode) return unreadable(inode.error());
    if (!root) return unreadable(root.error());
    found.push_back({*space, *inode, task.tgid, *root});
    return true;
  };
  for (const auto& task : listing.tasks) {
    if (add(task)) continue;
    // The first thread may have ended before the others.
    for (const auto& thread : tasks_->threads_of(task).tasks) {
      if (thread != task && add(thread)) break;
    }
  }
  add_from_tree(found, tally);
  return found;
}

void MountNamespaces::add_from_tree(std::vector<MountNamespace>& found, Tally& tally) const {
  if (!tree_ || !tree_node_) return;
  const auto& memory = kernel_->memory();
  std::unordered_set<Gva> seen;
  for (const auto& space : found) seen.insert(space.address);
  const auto walked = walk_rb_tree(memory, tree_, kLimit, [&](Gva node) {
    const Gva space = node - *tree_node_;
    if (!seen.insert(space).second) return true;
    const auto inode = inode_.read(memory, space);
    const auto mount = root_mount_.read(memory, space);
    if (!inode || !mount) {
      tally.warnings.push_back(
          fmt::format("the mount namespace at {:#x} cannot be read", space.value));
      return true;
    }
    if (!*mount) return true;
    const auto dentry = vfsmount_root_.read(memory, vfsmount_.in(*mount));
    if (!dentry)
      tally.warnings.push_back(
          fmt::format("the mount namespace at {:#x} cannot be read", space.value));
    if (dentry) {
      found.push_back({space, *inode, std::nullopt, PathPoint{vfsmount_.in(*mount), *dentry}});
    }
    return true;
  });
  tally.truncated |= walked.truncated;
  if (walked.broken) {
    tally.warnings.push_back("mount namespaces without a process: " + describe(*walked.broken));
  }
}

}  // namespace vitrine::linux
