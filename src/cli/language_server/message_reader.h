// MessageReader: the messages of an editor, out of the bytes that it sends.
//
// Each is a header ("Content-Length: 52", perhaps more lines, an empty one) and so many bytes.
// The bytes may come in any pieces, and may be no messages at all.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine::cli {

class MessageReader {
 public:
  static constexpr std::size_t kMaxHeader = 4096;
  static constexpr std::size_t kMaxBody = 16 * 1024 * 1024;  ///< of a script of 1 MiB, escaped, 6

  /// More bytes have come.
  void feed(std::string_view bytes) { pending_.append(bytes); }

  struct Message {
    std::string body;
    std::string_view trouble;  ///< a literal: why there is no body; empty: there is one
  };
  /// The next message, or the next thing that is none; nothing: more bytes are needed.
  /// After a header without a length it goes on behind it, after a wrong length at the next
  /// "Content-Length:", so that one bad message costs the next at most.
  /// What is larger than kMaxBody is told and dropped.
  [[nodiscard]] std::optional<Message> next();

  /// Some bytes came that are not a whole message yet.
  [[nodiscard]] bool unfinished() const noexcept {
    return !pending_.empty() || wanted_ || skip_ > 0;
  }

 private:
  [[nodiscard]] std::optional<Message> header();

  std::string pending_;
  std::size_t skip_ = 0;               ///< bytes of a body that is too large, to be dropped
  std::optional<std::size_t> wanted_;  ///< the header was read: bytes of the body
};

/// A message with its header.
[[nodiscard]] std::string framed(std::string_view body);

}  // namespace vitrine::cli
