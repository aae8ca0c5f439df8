// LanguageServer: an editor's questions about scripts, and our answers, as LSP has them.
//
// Messages in, messages out: it reads and writes nothing itself. Source: the Language Server
// Protocol, version 3.17.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/language_server/document.h"
#include "vmipl/ports.h"

namespace vitrine::cli {

class LanguageServer {
 public:
  /// What scripts are checked with, and those with symptoms; both must outlive it.
  LanguageServer(const vmipl::Ports& ports, const vmipl::Ports& rules)
      : ports_(ports), rules_(rules) {}

  /// The messages that answer one, in order. Any bytes: what is no message is answered with an
  /// error.
  [[nodiscard]] std::vector<std::string> handle(std::string_view message);
  /// The answer to bytes of which no message could be made.
  [[nodiscard]] static std::string unreadable(std::string_view why);

  /// It was told to exit: handle no more.
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  /// It was told to shut down before.
  [[nodiscard]] bool shut_down() const noexcept { return shut_down_; }

 private:
  struct Turn;
  void request(Turn& turn, std::string_view method);
  void notification(Turn& turn, std::string_view method);
  void publish(Turn& turn, const std::string& uri) const;

  const vmipl::Ports& ports_;
  const vmipl::Ports& rules_;
  std::map<std::string, Document, std::less<>> documents_;  ///< by URI
  bool initialized_ = false, shut_down_ = false, ended_ = false;
};

}  // namespace vitrine::cli
