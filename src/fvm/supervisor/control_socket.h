// The supervisor's control socket: a line of JSON in, a line of JSON out.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "memory/file_descriptor.h"

struct pollfd;

namespace vitrine::fvm {

class ControlSocket {
 public:
  /// Listens at PATH, mode 0600; a stale file is removed. @returns denied, io
  [[nodiscard]] static Outcome<ControlSocket> listen(const std::string& path);

  /// What poll() should wait for. Not for who comes, for a moment after one could not be taken in:
  /// poll() would return at once, again and again, until a descriptor is free.
  void poll_for(std::vector<pollfd>& all) const;
  /// Serves who has said something, and goes on with long answers. Never blocks: slow or silent
  /// clients cost a descriptor, and five seconds without a question or with an answer half read
  /// are the end.
  void serve(const std::function<std::string(std::string_view request)>& answer);

 private:
  struct Client {
    FileDescriptor socket;
    std::string request, reply;
    std::size_t told = 0;    ///< of the reply
    long long since_ms = 0;  ///< it came, or was answered
  };
  static bool hear(Client& client, const std::function<std::string(std::string_view)>& answer);
  static bool tell(Client& client);
  explicit ControlSocket(FileDescriptor socket) : socket_(std::move(socket)) {}
  FileDescriptor socket_;
  std::vector<Client> clients_;
  long long deaf_until_ms_ = 0;
};

/// The client's side: asks and waits for the answer.
/// @returns not_found  no supervisor listens there; timeout, vanished, denied
[[nodiscard]] Outcome<std::string> ask_supervisor(const std::string& path,
                                                  std::string_view request);

}  // namespace vitrine::fvm
