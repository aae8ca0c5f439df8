#include "machine/gdb_farewell.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>
#include <string_view>

#include "machine/gdb_packet.h"

namespace vitrine {
namespace {

using Clock = std::chrono::steady_clock;

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

/// Takes what comes into `seen` until it holds `word`, from `begin` on, or the time is up.
bool await(int socket, std::string_view word, std::chrono::milliseconds time, std::string& seen,
           std::size_t begin = 0) {
  const auto until = Clock::now() + time;
  std::array<char, 4096> piece;
  while (seen.find(word, begin) == std::string::npos) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(left)) <= 0) continue;
    const auto got = ::recv(socket, piece.data(), piece.size(), MSG_DONTWAIT);
    if (got == 0) return false;
    if (got > 0) seen.append(piece.data(), static_cast<std::size_t>(got));
    if (seen.size() > 64 * 1024) return false;
  }
  return true;
}

}  // namespace

bool farewell_to_gdbstub(int socket) noexcept {
  // ETX stops a guest that runs, and is dropped where it stands. "#00" ends a packet that was cut
  // off: its sum is wrong, so QEMU drops it. Then a question that nobody else asked, the current
  // CPU: once it is answered, whatever was under way has been, and the next OK is that to "D".
  // Where a debugger that knows of several processes was here before, QEMU speaks of them for good,
  // and understands "D" with the number of one alone: "QCp01.01".
  // "D" is said once, and nothing after it: QEMU 10.0.2 ends with SIGSEGV at what comes behind it
  // (a second ETX and "D", seen each time that QEMU was stopped for 1.6 s or more). A busy QEMU
  // reads late what was said before.
  constexpr auto kStop = std::chrono::milliseconds(300), kAnswer = std::chrono::milliseconds(1000),
                 kLast = std::chrono::milliseconds(5000);
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::string seen;
    if (!send_all(socket, "\x03")) return false;
    (void)await(socket, "#", kStop, seen);  // "T02...": it has stopped
    if (!send_all(socket, "+" + std::string("#00") + gdb_frame("qC"))) return false;
    if (!await(socket, "$QC", kAnswer, seen)) continue;
    const auto at = seen.find("$QC") + 3;
    if (!await(socket, "#", kAnswer, seen, at)) continue;
    const auto id = std::string_view(seen).substr(at, seen.find('#', at) - at);
    const auto words =
        id.starts_with('p') ? "D;" + std::string(id.substr(1, id.find('.') - 1)) : std::string("D");
    if (!send_all(socket, "+" + gdb_frame(words))) return false;
    std::string last;
    return await(socket, "$OK#9a", kLast, last);
  }
  return false;
}

}  // namespace vitrine
