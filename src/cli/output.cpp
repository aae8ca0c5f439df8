#include "cli/output.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "cli/interrupt.h"

namespace vitrine::cli {
namespace {

constexpr std::size_t kBuffer = 64 * 1024;

std::string styled(bool on, std::string_view code, std::string_view text) {
  return on ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

bool set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

unsigned terminal_width() {
  if (const char* columns = std::getenv("COLUMNS")) {
    const int width = std::atoi(columns);
    if (width > 0) return static_cast<unsigned>(width);
  }
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

bool FdOutput::write(std::string_view text) {
  if (failed_ != 0) return false;
  pending_ += text;
  return pending_.size() < kBuffer || flush();
}

// What a descriptor that poll() calls ready takes without waiting: a pipe a page, a terminal less.
std::size_t FdOutput::takes_at_once() const {
  constexpr std::size_t kTerminal = 256;
  struct stat status{};
  if (::fstat(fd_, &status) != 0) return PIPE_BUF;
  if (S_ISREG(status.st_mode)) return kBuffer;
  return S_ISCHR(status.st_mode) ? kTerminal : PIPE_BUF;
}

bool FdOutput::flush() {
  const auto most = paced_ && !pending_.empty() ? takes_at_once() : kBuffer;
  std::string_view left = pending_;
  while (!left.empty() && failed_ == 0) {
    if (paced_) {
      pollfd ready{fd_, POLLOUT, 0};
      if (::poll(&ready, 1, 0) <= 0) break;
    }
    const auto written = ::write(fd_, left.data(), std::min(left.size(), most));
    if (written >= 0) {
      left.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EINTR && !paced_ && InterruptGuard::interrupted()) {
      failed_ = EINTR;  // whoever waits for the reader is told to wait no more
    } else if (errno != EINTR && errno != EAGAIN) {
      failed_ = errno;
    }
  }
  pending_.erase(0, failed_ != 0 ? pending_.size() : pending_.size() - left.size());
  return failed_ == 0;
}

std::string Console::dim(std::string_view text) const { return styled(err_colour, "2", text); }
std::string Console::bold(std::string_view text) const { return styled(colour, "1", text); }

void Console::remark(std::string_view text) {
  out.flush();  // so that the two ends keep their order on a terminal
  err.write(dim(text) + "\n");
  err.flush();
}

Console console_of_process(Output& out, Output& err) {
  Console console{.out = out, .err = err};
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  const bool plain = dumb || set("NO_COLOR");
  console.interactive = isatty(STDOUT_FILENO) == 1;
  console.width = console.interactive ? terminal_width() : 0;
  console.colour = console.interactive && !plain;
  console.err_colour = isatty(STDERR_FILENO) == 1 && !plain;
  console.charset = charset_of_locale();
  return console;
}

Charset charset_of_locale() {
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (!set(variable)) continue;
    std::string locale = std::getenv(variable);
    std::ranges::transform(locale, locale.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const bool utf8 =
        locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
    return utf8 ? Charset::utf8 : Charset::ascii;
  }
  return Charset::ascii;
}

}  // namespace vitrine::cli
