// Qmp: a client of QEMU's machine protocol.
//
// QEMU serves one client per QMP socket at a time. So: connect, ask everything, let
// go. Nothing that Vitrine asks here stops or changes the guest.
// Source: docs/interop/qmp-spec.rst of QEMU.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine {

/// Where a monitor listens.
struct QmpEndpoint {
  std::string path;        ///< a unix socket as this process reaches it; empty for tcp
  std::string host, port;  ///< tcp
  std::string shown;       ///< as the machine's owner wrote it

  [[nodiscard]] bool tcp() const { return path.empty(); }
};

/// "tcp:host:port" or a path of a unix socket.
[[nodiscard]] QmpEndpoint qmp_endpoint(std::string_view text);

struct QmpTimeouts {
  std::chrono::milliseconds greeting{400};  ///< to connect and be greeted
  std::chrono::milliseconds answer{5000};   ///< to each command
};

class Qmp {
 public:
  using Timeouts = QmpTimeouts;

  /// Connects, takes the greeting and negotiates.
  /// @returns not_found  there is no such socket, or nobody listens
  /// @returns denied     the socket is not ours to use
  /// @returns timeout    no greeting: another client (libvirt, a tool) holds the socket
  /// @returns protocol   what answers is not QMP
  [[nodiscard]] static Outcome<std::unique_ptr<Qmp>> connect(const QmpEndpoint& endpoint,
                                                             Timeouts timeouts = {});
  /// The same over a connected stream socket.
  [[nodiscard]] static Outcome<std::unique_ptr<Qmp>> adopt(FileDescriptor socket,
                                                           Timeouts timeouts = {});

  /// Runs one QMP command. `arguments` is a JSON object, or empty.
  /// @returns the answer's "return" as JSON text.
  /// @returns unsupported  QEMU does not know the command
  /// @returns invalid      QEMU refused it; its own words are in the message
  /// @returns timeout, vanished, protocol  no answer, a closed connection, nonsense.
  ///          The connection is of no use afterwards.
  [[nodiscard]] Outcome<std::string> execute(std::string_view command,
                                             std::string_view arguments = {});

  /// The same, with an open file for QEMU beside the command (getfd, add-fd): QEMU gets its own
  /// descriptor of it. `descriptor` stays the caller's.
  /// @returns unsupported  the monitor is reached by TCP, which carries no files
  [[nodiscard]] Outcome<std::string> execute_with_file(std::string_view command,
                                                       std::string_view arguments, int descriptor);

  /// The connection, to wait for its end.
  [[nodiscard]] int socket() const noexcept { return socket_.get(); }

  /// Runs one command of the human monitor and returns what it prints.
  [[nodiscard]] Outcome<std::string> human(std::string_view line);
  /// Several of them in one trip.
  [[nodiscard]] Outcome<std::vector<std::string>> human(std::span<const std::string> lines);

  /// QEMU's version by its greeting: "10.0.2".
  [[nodiscard]] const std::string& version() const noexcept { return version_; }

 private:
  struct Answer;
  using Deadline = std::chrono::steady_clock::time_point;

  explicit Qmp(FileDescriptor socket, Timeouts timeouts)
      : socket_(std::move(socket)), timeouts_(timeouts) {}

  Outcome<void> greet();
  Outcome<std::uint64_t> send(std::string_view command, std::string_view arguments,
                              int descriptor = -1);
  Outcome<Answer> receive(Deadline until);
  Outcome<Answer> answer_to(std::uint64_t id);

  FileDescriptor socket_;
  Timeouts timeouts_;
  std::string version_;
  std::string buffer_;     ///< received, not yet taken
  std::size_t taken_ = 0;  ///< from the socket, since an answer is awaited
  std::uint64_t next_id_ = 1;
};

}  // namespace vitrine
