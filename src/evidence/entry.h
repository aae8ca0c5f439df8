// Entry: one thing that was found, done or noted, as it is kept for ever.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "evidence/moment.h"

namespace vitrine::evidence {

enum class Kind : std::uint8_t {
  finding = 1,  ///< a symptom was seen
  gone = 2,     ///< a symptom that was seen is no longer there
  action = 3,   ///< something was done to the guest, or would have been (dry run)
  watcher = 4,  ///< a watcher came, went, failed or was replaced
  loss = 5,     ///< entries that could not be kept, with their number
};
inline constexpr std::uint8_t kKinds = 5;

[[nodiscard]] std::string_view name(Kind kind) noexcept;  ///< "finding"

using Hash = std::array<std::byte, 32>;
using Signature = std::array<std::byte, 64>;

/// What a writer says. The texts are UTF-8 or not at all interpreted; `body` is a JSON
/// object with everything else: addresses, bytes, names, words.
struct Entry {
  Kind kind = Kind::finding;
  Moment moment;
  std::string guest;
  std::string subject;  ///< the symptom's name, the action, the watcher
  std::uint8_t severity = 0;
  std::string
      key;  ///< tells a finding from any other of its guest: the same finding has the same key
  std::string body;  ///< JSON
};
inline constexpr std::size_t kLongestText = 1024;
inline constexpr std::size_t kLongestBody = 1024 * 1024;

/// What is kept of it: its place in the chain.
struct Link {
  std::uint64_t sequence = 0;  ///< from 1, without gaps
  Hash previous{};             ///< of entry sequence - 1; zeros for the first
  Hash hash{};                 ///< of this one, over everything but the signature
  Signature signature{};       ///< Ed25519 over `hash`
};

struct StoredEntry {
  Entry entry;
  Link link;
};

/// SHA-256 over: "vitrine-evidence-1", then sequence, kind, wall_ns, monotonic_ns (8 bytes
/// each, little-endian), boot, severity (8 bytes), and guest, subject, key, body (an 8-byte
/// length before each), then `previous`.
[[nodiscard]] Hash hash_of(const Entry& entry, std::uint64_t sequence, const Hash& previous);

[[nodiscard]] std::string hexadecimal(std::string_view bytes);
template <std::size_t N>
[[nodiscard]] std::string hexadecimal(const std::array<std::byte, N>& bytes) {
  return hexadecimal(std::string_view(reinterpret_cast<const char*>(bytes.data()), N));
}

}  // namespace vitrine::evidence
