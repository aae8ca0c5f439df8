#include "evidence/entry.h"

#include <sodium.h>

namespace vitrine::evidence {
namespace {

class Hasher {
 public:
  Hasher() { crypto_hash_sha256_init(&state_); }
  void bytes(const void* data, std::size_t size) {
    crypto_hash_sha256_update(&state_, static_cast<const unsigned char*>(data), size);
  }
  void number(std::uint64_t value) {
    std::array<unsigned char, 8> little{};
    for (unsigned i = 0; i < 8; ++i) little[i] = static_cast<unsigned char>(value >> (8 * i));
    bytes(little.data(), little.size());
  }
  void text(std::string_view value) {
    number(value.size());
    bytes(value.data(), value.size());
  }
  Hash finish() {
    Hash hash;
    crypto_hash_sha256_final(&state_, reinterpret_cast<unsigned char*>(hash.data()));
    return hash;
  }

 private:
  crypto_hash_sha256_state state_{};
};

}  // namespace

std::string_view name(Kind kind) noexcept {
  switch (kind) {
    case Kind::finding:
      return "finding";
    case Kind::gone:
      return "gone";
    case Kind::action:
      return "action";
    case Kind::watcher:
      return "watcher";
    case Kind::loss:
      return "loss";
  }
  return "unknown";
}

Hash hash_of(const Entry& entry, std::uint64_t sequence, const Hash& previous) {
  constexpr std::string_view kDomain = "vitrine-evidence-1";
  Hasher hasher;
  hasher.bytes(kDomain.data(), kDomain.size());
  hasher.number(sequence);
  hasher.number(static_cast<std::uint64_t>(entry.kind));
  hasher.number(static_cast<std::uint64_t>(entry.moment.wall_ns));
  hasher.number(static_cast<std::uint64_t>(entry.moment.monotonic_ns));
  hasher.bytes(entry.moment.boot.data(), entry.moment.boot.size());
  hasher.number(entry.severity);
  hasher.text(entry.guest);
  hasher.text(entry.subject);
  hasher.text(entry.key);
  hasher.text(entry.body);
  hasher.bytes(previous.data(), previous.size());
  return hasher.finish();
}

std::string hexadecimal(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char one : bytes) {
    const auto value = static_cast<unsigned char>(one);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

}  // namespace vitrine::evidence
