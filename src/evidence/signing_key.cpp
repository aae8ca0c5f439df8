#include "evidence/signing_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "memory/file_descriptor.h"

namespace vitrine::evidence {
namespace {

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

std::unexpected<Problem> refuse(Errc code, std::string words, std::string hint = {}) {
  return std::unexpected(Problem(code, std::move(words), std::move(hint)));
}

/// The folder, too, is on the disk.
bool keep_name(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const FileDescriptor open(
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return open && ::fsync(open.get()) == 0;
}

/// Appears whole or not at all, never over a file that is there, and is there after a power cut:
/// evidence that is signed with a key that was lost is lost.
Outcome<void> write_new(const std::string& path, std::string_view text, mode_t mode) {
  const auto temporary = fmt::format("{}.{}", path, ::getpid());
  (void)::unlink(temporary.c_str());  // of a process of this number that was killed here
  const FileDescriptor file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file)
    return refuse(Errc::io, fmt::format("{} cannot be made: {}", temporary, std::strerror(errno)));
  const bool written =
      ::fchmod(file.get(), mode) == 0 &&
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(file.get()) == 0;
  // Unlike rename(), it replaces nothing.
  const bool there = written && ::link(temporary.c_str(), path.c_str()) == 0 && keep_name(path);
  const int error = errno;
  ::unlink(temporary.c_str());
  if (!there) {
    return refuse(Errc::io, fmt::format("{} cannot be written: {}", path, std::strerror(error)));
  }
  return {};
}

template <std::size_t N>
std::optional<std::array<std::byte, N>> from_hexadecimal(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r'))
    text.remove_suffix(1);
  if (text.size() != 2 * N) return std::nullopt;
  std::array<std::byte, N> bytes{};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char letter = text[i];
    int value = -1;
    if (letter >= '0' && letter <= '9') value = letter - '0';
    if (letter >= 'a' && letter <= 'f') value = letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F') value = letter - 'A' + 10;
    if (value < 0) return std::nullopt;
    bytes[i / 2] = (bytes[i / 2] << 4) | static_cast<std::byte>(value);
  }
  return bytes;
}

}  // namespace

SigningKey SigningKey::generate() {
  SigningKey key;
  if (sodium_init() < 0) std::abort();  // no randomness on this host: nothing can be signed
  crypto_sign_keypair(raw(key.public_.data()), raw(key.secret_.data()));
  return key;
}

Outcome<SigningKey> SigningKey::from_seed(std::string_view seed) {
  if (seed.size() != crypto_sign_SEEDBYTES) {
    return refuse(Errc::malformed,
                  fmt::format("a signing key has 32 bytes, this one {}", seed.size()));
  }
  SigningKey key;
  crypto_sign_seed_keypair(raw(key.public_.data()), raw(key.secret_.data()),
                           reinterpret_cast<const unsigned char*>(seed.data()));
  return key;
}

Outcome<SigningKey> SigningKey::read(int file) {
  std::array<char, 33> seed{};
  const auto size = ::pread(file, seed.data(), seed.size(), 0);
  if (size < 0)
    return refuse(Errc::io,
                  fmt::format("the signing key cannot be read: {}", std::strerror(errno)));
  auto key = from_seed({seed.data(), static_cast<std::size_t>(size)});
  sodium_memzero(seed.data(), seed.size());
  return key;
}

Outcome<SigningKey> SigningKey::load_or_create(const std::string& path) {
  const auto public_path =
      (path.ends_with(".key") ? path.substr(0, path.size() - 4) : path) + ".pub";
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file && errno == ENOENT) {
    // A new one would sign what nobody could verify any more.
    if (::access(public_path.c_str(), F_OK) == 0)
      return refuse(Errc::denied,
                    fmt::format("{} is gone, and {} is still there", path, public_path),
                    "put the key back; or move the store and that file away, and begin anew");
    const auto key = generate();
    TRY(write_new(path, key.seed(), 0600));
    TRY(write_new(public_path, hexadecimal(key.public_key()) + "\n", 0644));
    return key;
  }
  if (!file)
    return refuse(Errc::denied, fmt::format("{} cannot be read: {}", path, std::strerror(errno)));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    return refuse(Errc::denied, fmt::format("{} is not a file for this user alone", path),
                  "a signing key that others may read or write proves nothing: keep the store, "
                  "take a new key");
  }
  auto key = TRY(read(file.get()));
  if (::access(public_path.c_str(), F_OK) != 0) {
    TRY(write_new(public_path, hexadecimal(key.public_key()) + "\n", 0644));
  }
  return key;
}

SigningKey::~SigningKey() { sodium_memzero(secret_.data(), secret_.size()); }

Signature SigningKey::sign(const Hash& hash) const {
  Signature signature{};
  crypto_sign_detached(raw(signature.data()), nullptr, raw(hash.data()), hash.size(),
                       raw(secret_.data()));
  return signature;
}

bool verifies(const PublicKey& key, const Hash& hash, const Signature& signature) {
  return crypto_sign_verify_detached(raw(signature.data()), raw(hash.data()), hash.size(),
                                     raw(key.data())) == 0;
}

std::optional<PublicKey> parse_public_key(std::string_view text) {
  return from_hexadecimal<32>(text);
}
std::optional<Hash> parse_hash(std::string_view text) { return from_hexadecimal<32>(text); }

}  // namespace vitrine::evidence
