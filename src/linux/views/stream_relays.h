// StreamRelays: who is at the other end of a stream, and talks to the network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "linux/field.h"
#include "linux/tasks.h"

namespace vitrine::linux {

class Kernel;

/// The process that writes a pipe, or that holds the master of a pseudo terminal (socat, expect,
/// a script that opens one; sshd too), if it holds a connection of TCP.
struct StreamRelay {
  std::int32_t pid = 0;
  std::uint16_t local_port = 0, remote_port = 0;
  /// Nobody listens on local_port: it called out, and was not called.
  bool outgoing = false;
};

/// Threads: one at a time. Cost: one look at every descriptor of every process a gather().
class StreamRelays {
 public:
  /// @returns not_found  the members that are missing
  [[nodiscard]] static Outcome<StreamRelays> open(const Kernel& kernel);

  /// Forgets, and looks at the descriptors of all of `processes`.
  /// @returns whether it could: no table was larger than a million, nor all of them together than
  ///   what is looked at
  [[nodiscard]] bool gather(const std::vector<TaskRef>& processes);

  /// What is at the other end of `file` (a struct file of `reader`): an outgoing connection before
  /// one that came in; nothing: no pipe or terminal, or no connection there.
  [[nodiscard]] std::optional<StreamRelay> of(Gva file, std::int32_t reader) const;

  /// `file` is a pipe or a pseudo terminal: what of() can tell of.
  [[nodiscard]] bool is_stream(Gva file) const { return stream_of(file).has_value(); }

 private:
  /// What both ends have in common: the pipe, or the terminal's slave.
  struct Stream {
    Gva shared;
    bool gives = false;  ///< this end is the pipe's writer, or the terminal's master
  };
  struct Connection {
    std::uint16_t local_port = 0, remote_port = 0;
  };

  explicit StreamRelays(const Kernel& kernel);
  [[nodiscard]] std::optional<Stream> stream_of(Gva file) const;
  void take_socket(Gva file, std::int32_t pid);

  const VirtualMemory* memory_;
  Field<Gva> task_files_, fdt_, table_, operations_, private_data_, inode_, sock_;
  Field<Gva> tty_, tty_link_;
  Field<std::uint32_t> most_, flags_, device_;
  Field<std::uint16_t> mode_, family_, protocol_, local_port_, remote_port_;
  Field<std::uint8_t> state_;
  Gva socket_operations_;

  std::unordered_map<Gva, std::vector<std::int32_t>> givers_;
  std::unordered_map<std::int32_t, std::vector<Connection>> connections_;
  std::unordered_set<std::uint16_t> listened_;
};

}  // namespace vitrine::linux
