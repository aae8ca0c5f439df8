#include "cli/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace vitrine::cli {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l";
constexpr std::string_view kLeave = "\x1b[?7h\x1b[?25h\x1b[?1049l";

// What a signal handler needs to put the terminal back. The terminal is the process's,
// and so is this.
termios found{};
std::atomic<bool> shown{false};
std::atomic<bool> resized{false};

void put(std::string_view text) {
  while (!text.empty()) {
    const auto written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) return;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void enter() {
  termios raw = found;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  shown.store(true);
  put(kEnter);
}

/// Safe in a signal handler: write() and tcsetattr() are.
void leave() {
  if (!shown.exchange(false)) return;
  put(kLeave);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &found);
}

/// A crash: put the terminal back, then crash as before.
void crashed(int signal) {
  leave();
  std::signal(signal, SIG_DFL);
  raise(signal);
}

/// Ctrl-Z: give the terminal back, stop, and take it again when continued.
void stopped(int) {
  const int before = errno;
  leave();
  std::signal(SIGTSTP, SIG_DFL);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  raise(SIGTSTP);
  sigprocmask(SIG_UNBLOCK, &stop, nullptr);  // here it stops
  struct sigaction again{};
  again.sa_handler = stopped;
  sigaction(SIGTSTP, &again, nullptr);
  enter();
  resized.store(true);
  errno = before;
}

void note_size(int) { resized.store(true); }

constexpr int kCrashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

}  // namespace

bool Screen::possible() {
  const char* term = std::getenv("TERM");
  return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && term != nullptr &&
         std::string_view(term) != "dumb";
}

Outcome<Screen> Screen::open() {
  if (!possible() || tcgetattr(STDIN_FILENO, &found) != 0) {
    return std::unexpected(
        Problem(Errc::unsupported, "standard input or output is no terminal that can be drawn on"));
  }
  struct sigaction action{};
  action.sa_handler = note_size;
  sigaction(SIGWINCH, &action, nullptr);
  action.sa_handler = stopped;
  sigaction(SIGTSTP, &action, nullptr);
  action.sa_handler = crashed;
  for (const int signal : kCrashes) sigaction(signal, &action, nullptr);
  enter();
  return Screen();
}

Screen::Screen(Screen&& other) noexcept : owner_(std::exchange(other.owner_, false)) {}

Screen::~Screen() {
  if (!owner_) return;
  leave();
  for (const int signal : kCrashes) std::signal(signal, SIG_DFL);
  std::signal(SIGTSTP, SIG_DFL);
  std::signal(SIGWINCH, SIG_DFL);
}

Screen::Size Screen::size() {
  winsize window{};
  Size size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0) {
    size = {window.ws_col, window.ws_row};
  }
  return size;
}

void Screen::draw(const std::vector<std::string>& lines) const {
  std::string frame = "\x1b[H";
  const auto rows = std::min<std::size_t>(lines.size(), size().rows);
  for (std::size_t i = 0; i < rows; ++i) {
    frame += lines[i];
    frame += i + 1 < rows ? "\x1b[K\r\n" : "\x1b[K";
  }
  put(frame + "\x1b[J");
}

int Screen::key(int timeout_ms) const {
  if (resized.exchange(false)) return kResized;
  pollfd input{STDIN_FILENO, POLLIN, 0};
  const int ready = poll(&input, 1, timeout_ms);
  if (resized.exchange(false)) return kResized;
  if (ready <= 0) return kNone;
  char bytes[8];
  const auto got = read(STDIN_FILENO, bytes, sizeof bytes);
  if (got < 0) return errno == EINTR ? kNone : kClosed;
  if (got == 0) return kClosed;
  const std::string_view typed(bytes, static_cast<std::size_t>(got));
  if (typed.size() == 1 || typed[0] != '\x1b') return static_cast<unsigned char>(typed[0]);
  struct Sequence {
    std::string_view bytes;
    Key key;
  };
  constexpr Sequence kKnown[] = {{"\x1b[A", kUp},   {"\x1b[B", kDown},    {"\x1bOA", kUp},
                                 {"\x1bOB", kDown}, {"\x1b[5~", kPageUp}, {"\x1b[6~", kPageDown},
                                 {"\x1b[H", kHome}, {"\x1b[F", kEnd},     {"\x1b[1~", kHome},
                                 {"\x1b[4~", kEnd}};
  for (const auto& known : kKnown) {
    if (typed.starts_with(known.bytes)) return known.key;
  }
  return kNone;
}

}  // namespace vitrine::cli
