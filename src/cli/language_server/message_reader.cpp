#include "cli/language_server/message_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace vitrine::cli {
namespace {

constexpr std::string_view kEnd = "\r\n\r\n";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

/// Where the last `content-length:` of a header ends; the last, as what came before it may be the
/// rest of a body whose length was wrong.
std::optional<std::size_t> behind_length(std::string_view header) {
  constexpr std::string_view kName = "content-length:";
  const auto found = std::find_end(header.begin(), header.end(), kName.begin(), kName.end(),
                                   [](char a, char b) { return lower(a) == b; });
  if (found == header.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header.begin()) + kName.size();
}

}  // namespace

std::optional<MessageReader::Message> MessageReader::header() {
  const auto end = pending_.find(kEnd);
  if (end == std::string::npos) {
    if (pending_.size() <= kMaxHeader) return std::nullopt;
    // The end of it may be the beginning of a good one.
    pending_.erase(0, pending_.size() - kEnd.size());
    return Message{{}, "a header without an end"};
  }
  const auto text = std::string_view(pending_).substr(0, end);
  const auto at = behind_length(text);
  std::size_t length = 0;
  bool good = false;
  if (at) {
    auto digits = text.substr(*at);
    while (digits.starts_with(' ') || digits.starts_with('\t')) digits.remove_prefix(1);
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), length);
    good = error == std::errc() &&
           (stop == digits.data() + digits.size() || *stop == '\r' || *stop == ' ');
  }
  pending_.erase(0, end + kEnd.size());
  if (!good) return Message{{}, "a header without Content-Length"};
  if (length > kMaxBody) {
    skip_ = length;
    return Message{{}, "a message of more than 16 MiB"};
  }
  wanted_ = length;
  return std::nullopt;
}

std::optional<MessageReader::Message> MessageReader::next() {
  if (skip_ > 0) {
    const auto dropped = std::min(skip_, pending_.size());
    pending_.erase(0, dropped);
    skip_ -= dropped;
    if (skip_ > 0) return std::nullopt;
  }
  if (!wanted_) {
    if (auto trouble = header()) return trouble;
    if (!wanted_) return std::nullopt;
  }
  if (pending_.size() < *wanted_) return std::nullopt;
  Message message{pending_.substr(0, *wanted_), {}};
  pending_.erase(0, *wanted_);
  wanted_.reset();
  return message;
}

std::string framed(std::string_view body) {
  return fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
}

}  // namespace vitrine::cli
