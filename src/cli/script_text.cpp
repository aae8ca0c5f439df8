#include "cli/script_text.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace vitrine::cli {
namespace {

constexpr std::size_t kMost = 64 * 1024 * 1024;

struct File {
  int fd = -1;
  bool owned = false;
  ~File() {
    if (owned && fd >= 0) ::close(fd);
  }
};

Outcome<std::string> slurp(int fd, std::string_view path) {
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const auto count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return std::unexpected(
          Problem(Errc::io, fmt::format("{} could not be read: {}", path, std::strerror(errno))));
    }
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kMost) {
      return std::unexpected(
          Problem(Errc::too_large, fmt::format("{} has more than 64 MiB", path)));
    }
  }
}

}  // namespace

Outcome<std::string> read_text(std::string_view path) {
  if (path == "-") return slurp(STDIN_FILENO, "standard input");
  const std::string name(path);
  const File file{::open(name.c_str(), O_RDONLY | O_CLOEXEC), true};
  if (file.fd < 0) {
    const int error = errno;
    return std::unexpected(Problem(error == ENOENT ? Errc::not_found : Errc::io,
                                   fmt::format("{}: {}", path, std::strerror(error))));
  }
  return slurp(file.fd, path);
}

Outcome<vmipl::Source> read_script(std::string_view path) {
  auto text = TRY(read_text(path));
  return vmipl::Source(path == "-" ? "<stdin>" : std::string(path), std::move(text));
}

}  // namespace vitrine::cli
