// Whose descriptors lead to which socket.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/tasks.h"
#include "linux/view.h"

namespace vitrine::linux {
class Kernel;
}

namespace vitrine::linux::net {

struct SocketOwner {
  std::int64_t pid = 0;  ///< of the process: its thread group
  std::int64_t fd = 0;
  std::string process;  ///< its name (comm)
};

/// The descriptor tables of all processes, searched for sockets.
class SocketOwners {
 public:
  /// Descriptors of one process; the kernel's own sysctl_nr_open_max is 2^31 - 64, its
  /// default fs.nr_open 2^20.
  static constexpr std::uint32_t kMaxDescriptors = 1 << 24;
  /// Of all processes: descriptors, and those of sockets, that are looked at.
  static constexpr std::uint64_t kMaxInAll = 1 << 28, kMaxOwners = 1 << 22;

  /// @returns not_found  a member or symbol that is missing
  [[nodiscard]] static Outcome<SocketOwners> open(const Kernel& kernel);

  /// Walks all processes. What could not be read is said in `tally`.
  /// Cost: in proportion to processes and their descriptors.
  void read(Tally& tally);

  /// By the socket's struct sock and, where that is known to no descriptor, by its inode (the
  /// subflows of a multipath connection have their connection's): by pid and fd.
  [[nodiscard]] const std::vector<SocketOwner>& of(Gva sock, std::uint64_t inode) const;

 private:
  void read_process(TaskRef task, Tally& tally);
  void read_table(Gva files, std::int64_t pid, const std::string& process, Tally& tally);

  const Kernel* kernel_ = nullptr;
  std::optional<TaskList> tasks_;
  Gva socket_operations_;  ///< &socket_file_ops
  Embedded allocated_;
  Field<std::string> comm_;
  Field<Gva> files_, table_;
  Field<std::uint32_t> max_descriptors_;
  Field<Gva> descriptors_, open_bits_;
  Field<Gva> operations_, private_data_;
  Field<Gva> sock_;
  Field<std::uint64_t> inode_number_;
  Span file_span_;
  std::uint64_t descriptors_left_ = 0, owners_left_ = 0;
  std::unordered_map<Gva, std::vector<SocketOwner>> by_sock_;
  std::unordered_map<std::uint64_t, std::vector<SocketOwner>> by_inode_;
};

}  // namespace vitrine::linux::net
