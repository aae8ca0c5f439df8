// MomentLayout: where this kernel keeps what a script calls the moment; and MomentReader,
// which reads it by numbers alone.
//
// The host fills the layout from the guest's own types and symbols (moment_fill.h), once. It
// is plain data: the agent gets it as bytes. The reader needs nothing but memory: it runs
// on a virtual CPU's thread as well as on the host, allocates nothing, and bounds every walk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::probe {

// Offsets of members, in bytes: name, and the paths it may have, newest kernels last.
#define VITRINE_MOMENT_MEMBERS(X)                                            \
  X(task_pid, "task_struct.pid")                                             \
  X(task_tgid, "task_struct.tgid")                                           \
  X(task_comm, "task_struct.comm")                                           \
  X(task_leader, "task_struct.group_leader")                                 \
  X(task_real_parent, "task_struct.real_parent")                             \
  X(task_real_cred, "task_struct.real_cred")                                 \
  X(task_mm, "task_struct.mm")                                               \
  X(task_flags, "task_struct.flags")                                         \
  X(task_signal, "task_struct.signal")                                       \
  X(task_nsproxy, "task_struct.nsproxy")                                     \
  X(task_thread_pid, "task_struct.thread_pid")                               \
  X(task_cgroups, "task_struct.cgroups")                                     \
  X(task_fs, "task_struct.fs")                                               \
  X(task_start, "task_struct.real_start_time", "task_struct.start_boottime") \
  X(cred_uid, "cred.uid.val")                                                \
  X(cred_euid, "cred.euid.val")                                              \
  X(cred_gid, "cred.gid.val")                                                \
  X(cred_egid, "cred.egid.val")                                              \
  X(cred_user_ns, "cred.user_ns")                                            \
  X(user_ns_number, "user_namespace.ns.inum")                                \
  X(nsproxy_mnt, "nsproxy.mnt_ns")                                           \
  X(nsproxy_net, "nsproxy.net_ns")                                           \
  X(mnt_ns_number, "mnt_namespace.ns.inum")                                  \
  X(net_ns_number, "net.ns.inum")                                            \
  X(pid_ns_number, "pid_namespace.ns.inum")                                  \
  X(pid_level, "pid.level")                                                  \
  X(pid_numbers, "pid.numbers")                                              \
  X(upid_nr, "upid.nr")                                                      \
  X(upid_ns, "upid.ns")                                                      \
  X(mm_pgd, "mm_struct.pgd")                                                 \
  X(mm_exe_file, "mm_struct.exe_file")                                       \
  X(mm_arg_start, "mm_struct.arg_start")                                     \
  X(mm_arg_end, "mm_struct.arg_end")                                         \
  X(mm_env_start, "mm_struct.env_start")                                     \
  X(mm_env_end, "mm_struct.env_end")                                         \
  X(file_mount, "file.f_path.mnt")                                           \
  X(file_dentry, "file.f_path.dentry")                                       \
  X(fs_root_mount, "fs_struct.root.mnt")                                     \
  X(fs_root_dentry, "fs_struct.root.dentry")                                 \
  X(dentry_parent, "dentry.d_parent")                                        \
  X(dentry_name, "dentry.d_name.name")                                       \
  X(dentry_length, "dentry.d_name.len")                                      \
  X(dentry_hashed, "dentry.d_hash.pprev")                                    \
  X(dentry_operations, "dentry.d_op")                                        \
  X(operations_dname, "dentry_operations.d_dname")                           \
  X(mount_parent, "mount.mnt_parent")                                        \
  X(mount_mountpoint, "mount.mnt_mountpoint")                                \
  X(mount_mnt, "mount.mnt")                                                  \
  X(mnt_root, "vfsmount.mnt_root")                                           \
  X(signal_pids, "signal_struct.pids")                                       \
  X(signal_tty, "signal_struct.tty")                                         \
  X(tty_name, "tty_struct.name")                                             \
  X(css_set_group, "css_set.dfl_cgrp")                                       \
  X(cgroup_node, "cgroup.kn")                                                \
  X(cgroup_flags, "cgroup.self.flags")                                       \
  X(node_parent, "kernfs_node.parent", "kernfs_node.__parent")               \
  X(node_name, "kernfs_node.name")

struct MomentLayout {
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::uint32_t kAbsent = 0xffffffff;  ///< this kernel has no such member

  // Addresses, as the guest runs them. 0: not there.
  std::uint64_t per_cpu_offsets = 0;  ///< __per_cpu_offset[]
  std::uint64_t current_task =
      0;  ///< per-CPU: `current_task`, or pcpu_hot + its member (6.2 to 6.14)
  std::uint64_t init_reaper = 0;  ///< &init_pid_ns.child_reaper: whose root "/" is
  std::uint64_t direct_map = 0;   ///< page_offset_base's value: where physical 0 is mapped
  std::uint64_t offset_real = 0,
                offset_boot = 0;   ///< of the timekeeper: wall and boot time over monotonic
  std::uint32_t cpus = 1;          ///< possible CPUs
  std::uint32_t session_kind = 3;  ///< PIDTYPE_SID
  std::uint32_t upid_size = 16;    ///< bytes of an element of pid.numbers
  std::uint32_t uniprocessor = 0;  ///< 1: no __per_cpu_offset, variables lie where they are linked
#define X(name, ...) std::uint32_t name = kAbsent;
  VITRINE_MOMENT_MEMBERS(X)
#undef X

  bool operator==(const MomentLayout&) const = default;
};

/// To bytes for the agent, and from bytes. @returns unsupported, malformed
[[nodiscard]] std::array<std::byte, sizeof(MomentLayout) + 8> save(const MomentLayout& layout);
[[nodiscard]] Result<MomentLayout> load_moment_layout(Bytes bytes);

/// How the reader gets at memory.
class MomentMemory {
 public:
  virtual ~MomentMemory() = default;
  /// Kernel memory: by tables that map the kernel (under page table isolation a user's do not).
  [[nodiscard]] virtual bool kernel(std::uint64_t address, MutableBytes into) noexcept = 0;
  /// The memory of the process whose mm_struct.pgd is `pgd` (the kernel's address of it). Where
  /// that process runs now, the current tables will do.
  [[nodiscard]] virtual bool user(std::uint64_t pgd, std::uint64_t address,
                                  MutableBytes into) noexcept = 0;
};

/// What tells which task a CPU runs.
struct CpuAtEvent {
  std::uint64_t gs_base = 0, kernel_gs_base = 0;
  std::uint32_t index = 0;  ///< of the virtual CPU
  bool user_mode = false;   ///< CPL 3
};

/// Reads the moment's values of one task. Constant memory; every walk is bounded: 256 components
/// and 64 mounts of a path, 64 levels of a cgroup. Threads: one at a time.
class MomentReader {
 public:
  /// Both must outlive this.
  MomentReader(const MomentLayout& layout, MomentMemory& memory);

  /// The kernel's own number of that CPU, and the offset of its variables. Whose GS base lies in
  /// __per_cpu_offset decides; where a program in the guest forged one, the CPU's index does.
  struct Cpu {
    std::uint32_t number = 0;
    std::uint64_t offset = 0;
  };
  [[nodiscard]] std::optional<Cpu> cpu(const CpuAtEvent& at) noexcept;
  /// Whether a CPU's variables lie where they did when it was found. Cost: one read.
  [[nodiscard]] bool still(const Cpu& cpu) noexcept;
  /// The task_struct that runs there; pid 0's for an idle CPU.
  [[nodiscard]] std::optional<std::uint64_t> current(const Cpu& cpu) noexcept;
  /// Where a CPU keeps the variable whose symbol is at `variable`.
  [[nodiscard]] std::optional<std::uint64_t> per_cpu(std::uint64_t variable,
                                                     std::uint64_t cpu) noexcept;

  /// moments()[moment] of the group process or thread, for the task at `task`. Others: nothing.
  [[nodiscard]] std::optional<std::uint64_t> number(unsigned moment, std::uint64_t task) noexcept;
  [[nodiscard]] std::optional<std::size_t> text(unsigned moment, std::uint64_t task,
                                                std::span<char> into) noexcept;
  /// True if moments()[moment] is of the groups process or thread.
  [[nodiscard]] bool knows(unsigned moment) const noexcept;

  // What every record carries.
  [[nodiscard]] std::optional<std::int32_t> pid(std::uint64_t task) noexcept;  ///< tgid
  [[nodiscard]] std::optional<std::int32_t> tid(std::uint64_t task) noexcept;
  [[nodiscard]] std::optional<std::size_t> name(
      std::uint64_t task, std::span<char> into) noexcept;  ///< the leader's comm

 private:
  enum class Kind : std::uint8_t {
    none,
    pid,
    ppid,
    name,
    path,
    cmdline,
    uid,
    euid,
    gid,
    egid,
    cgroup,
    pid_namespace,
    mount_namespace,
    network_namespace,
    user_namespace,
    session,
    tty,
    start_time,
    kernel_thread,
    root,
    task,
    tid,
    thread_name,
    thread_task
  };
  template <class T>
  [[nodiscard]] std::optional<T> get(std::uint64_t object, std::uint32_t member) noexcept;
  [[nodiscard]] std::optional<std::uint64_t> pointer(std::uint64_t object,
                                                     std::uint32_t member) noexcept;
  [[nodiscard]] std::optional<std::uint64_t> leader(std::uint64_t task) noexcept {
    return pointer(task, layout_.task_leader);
  }
  [[nodiscard]] std::optional<std::size_t> comm(std::uint64_t task, std::span<char> into) noexcept;
  [[nodiscard]] std::optional<std::size_t> path(std::uint64_t task, std::span<char> into) noexcept;
  [[nodiscard]] std::optional<std::size_t> cmdline(std::uint64_t task,
                                                   std::span<char> into) noexcept;
  [[nodiscard]] std::optional<std::size_t> cgroup(std::uint64_t task,
                                                  std::span<char> into) noexcept;
  [[nodiscard]] std::optional<std::size_t> tty(std::uint64_t task, std::span<char> into) noexcept;
  /// The text at `address` up to its NUL.
  [[nodiscard]] std::optional<std::size_t> string(std::uint64_t address,
                                                  std::span<char> into) noexcept;
  [[nodiscard]] std::optional<std::uint64_t> namespace_number(std::uint64_t task,
                                                              std::uint32_t member,
                                                              std::uint32_t number) noexcept;

  const MomentLayout& layout_;
  MomentMemory& memory_;
  std::array<Kind, 64> kinds_{};  ///< of each of moments()
};

}  // namespace vitrine::probe
