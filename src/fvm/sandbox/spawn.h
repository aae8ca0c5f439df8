// Starting a process in a box: its own user, its own namespaces, an empty root.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

struct Bind {
  std::string source;  ///< a folder or file of the host
  std::string target;  ///< "/evidence"
  bool writable = false;
  bool executable = false;
};

struct Box {
  std::string program;             ///< its path on the host; need not be seen from inside
  std::vector<std::string> words;  ///< argv, its name first
  std::vector<int> descriptors;    ///< they become 3, 4, 5 ... inside; nothing else is inherited
  std::vector<Bind> binds;         ///< all there is in its root, beside an empty /
  std::vector<std::pair<std::string, std::string>>
      links;          ///< symbolic links in its root: name, target
  bool proc = false;  ///< a /proc of its own: it sees itself alone
  uid_t user = 0;     ///< of the host, to run as; 0: the caller's own
  std::uint64_t descriptor_limit = 64;
  /// Bytes of the longest file that it may write: its log, which others have too. 0: no limit.
  std::uint64_t file_limit = 0;
  int nice = 0;     ///< of the process and its session; below 0 only if the caller may
  std::string log;  ///< a file for its stderr; empty: /dev/null. A long one is put aside (.old)
};

/// For programs that write no file but their log: who falls must not fill the disk by it.
inline constexpr std::uint64_t kLongestLog = 4 << 20;

struct Started {
  pid_t pid = -1;
  FileDescriptor pidfd;
};

/// Starts it with namespaces of its own for users, mounts, processes, network, IPC, host name
/// and cgroups, as an ordinary user without capabilities, with no way to gain any, in a root that
/// holds `binds` alone. It dies with the caller's thread.
/// @returns not_found  no such program
/// @returns denied     user namespaces are not allowed to this user
/// @returns io         anything else, with the step that failed
/// Cost: about 3 ms.
[[nodiscard]] Outcome<Started> start_in_box(const Box& box);

/// SIGKILL to it, and to nobody else: its number may be another process's since it was waited for.
void kill_at_once(const Started& started) noexcept;

/// Gives the session of `pid` a share of the CPUs. Where the kernel groups tasks by session
/// (sched_autogroup), which desktops and servers do alike, nice values weigh within a session
/// alone, and say nothing beside another one that is busy.
/// @returns false  the kernel does not group so, or the caller may not
bool set_share(pid_t pid, int nice);

}  // namespace vitrine::fvm
