// AgentLink: the host's side of the control protocol: one connection to one agent.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/problem.h"
#include "memory/file_descriptor.h"
#include "probe/agent/message.h"

namespace vitrine::probe {

/// Where the agent of a QEMU process listens, by the `-plugin` of its command line. Nothing if
/// it has none.
[[nodiscard]] std::optional<std::string> find_agent_socket(pid_t qemu);
/// The same from a command line; `uid` is its user's.
[[nodiscard]] std::optional<std::string> agent_socket_of(const std::vector<std::string>& words,
                                                         pid_t qemu, unsigned uid);

/// Threads: one at a time.
class AgentLink {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  /// Connects and takes the welcome.
  /// @returns not_found    nobody listens there
  /// @returns denied       the agent refuses us; its words are in the message ("another controller
  /// ...")
  /// @returns timeout, protocol  no welcome in time, or nonsense
  [[nodiscard]] static Outcome<AgentLink> connect(const std::string& path);

  [[nodiscard]] const Welcome& welcome() const { return welcome_; }
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  /// Who listens there, as the kernel says; 0: it does not.
  [[nodiscard]] pid_t peer() const { return peer_; }

  /// @returns vanished  the agent is gone
  [[nodiscard]] Outcome<void> send(MessageKind kind, Bytes body);

  struct Received {
    Message message;
    FileDescriptor descriptor;  ///< if one came along
  };
  /// The next message. @returns timeout, vanished, protocol
  [[nodiscard]] Outcome<Received> receive(Deadline until);

 private:
  explicit AgentLink(FileDescriptor socket) : socket_(std::move(socket)) {}

  FileDescriptor socket_;
  pid_t peer_ = 0;
  Welcome welcome_;
  std::vector<std::byte> input_;
  FileDescriptor descriptor_;  ///< came with bytes of input_
};

}  // namespace vitrine::probe
