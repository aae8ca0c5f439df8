// ControlSocket: by which a running script is spoken to: a small unix socket of its own.
//
// It lies in $XDG_RUNTIME_DIR/vitrine, or /run/vitrine, for the owner alone, and goes with its
// process. A question is a line, with a body where its last word is a number of bytes; the answer
// is a line of JSON: {"ok":true,...} or {"ok":false,"message":"...","hint":"..."}.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine::probe {

/// Where the sockets lie. Empty: this user has no such place.
[[nodiscard]] std::string control_directory();

class ControlSocket {
 public:
  /// Answers one question; on the socket's own thread. `words`: the line, split at blanks.
  using Answer =
      std::function<std::string(const std::vector<std::string>& words, std::string_view body)>;

  static constexpr std::size_t kMaxBody = 2 * 1024 * 1024;

  /// @returns denied, io  no socket can be made there; the message says where
  [[nodiscard]] static Outcome<std::unique_ptr<ControlSocket>> open(Answer answer);
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;
  /// Waits for the question under way.
  ~ControlSocket();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit ControlSocket(Answer answer) : answer_(std::move(answer)) {}
  void run();
  void serve(int client) const;

  Answer answer_;
  std::string path_;
  FileDescriptor listener_, wake_;
  std::thread thread_;
};

/// The sockets of running scripts of this user: paths. Those whose process is gone are removed.
[[nodiscard]] std::vector<std::string> control_sockets();

/// Asks one of them. @returns vanished, timeout, protocol
[[nodiscard]] Outcome<std::string> ask_control(const std::string& path, std::string_view line,
                                               std::string_view body = {});

}  // namespace vitrine::probe
