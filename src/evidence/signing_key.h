// SigningKey: the Ed25519 key that signs a guest's evidence.
//
// One key a store. The supervisor makes it (STATE/keys/GUEST.key, mode 0600, its own
// user's), and hands it to the guest's guard as an open descriptor: nobody else reads
// it. STATE/keys/GUEST.pub, mode 0644, is the public half for whoever verifies.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/problem.h"
#include "evidence/entry.h"

namespace vitrine::evidence {

using PublicKey = std::array<std::byte, 32>;

class SigningKey {
 public:
  [[nodiscard]] static SigningKey generate();
  /// The key of a 32-byte seed. @returns malformed  it has not 32 bytes.
  [[nodiscard]] static Outcome<SigningKey> from_seed(std::string_view seed);
  /// Reads a seed from an open file, from its start.
  [[nodiscard]] static Outcome<SigningKey> read(int file);
  /// Reads PATH, or makes it, and PATH with .pub for .key beside it. A file that others may
  /// read, or that is another user's, is refused, as is a key that is gone while its .pub is there.
  /// What it makes is on the disk before it answers.
  /// @returns denied, malformed, io
  [[nodiscard]] static Outcome<SigningKey> load_or_create(const std::string& path);

  SigningKey(const SigningKey&) = default;
  SigningKey& operator=(const SigningKey&) = default;
  ~SigningKey();  ///< wipes it

  [[nodiscard]] Signature sign(const Hash& hash) const;
  [[nodiscard]] const PublicKey& public_key() const noexcept { return public_; }
  [[nodiscard]] std::string_view seed() const noexcept {
    return {reinterpret_cast<const char*>(secret_.data()), 32};
  }

 private:
  SigningKey() = default;
  std::array<std::byte, 64> secret_{};
  PublicKey public_{};
};

[[nodiscard]] bool verifies(const PublicKey& key, const Hash& hash, const Signature& signature);

/// 64 hexadecimal digits, as a .pub file holds them; anything after them must be blank.
[[nodiscard]] std::optional<PublicKey> parse_public_key(std::string_view text);
[[nodiscard]] std::optional<Hash> parse_hash(std::string_view text);

}  // namespace vitrine::evidence
