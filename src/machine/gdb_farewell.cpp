#include "machine/gdb_farewell.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>
#include <string_view>

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

/// Takes what comes until it holds `word` or the time is up.
bool await(int socket, std::string_view word, std::chrono::milliseconds time) {
  const auto until = Clock::now() + time;
  std::string seen;
  std::array<char, 4096> piece;
  while (seen.find(word) == std::string::npos) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(left)) <= 0) continue;
    const auto got = ::recv(socket, piece.data(), piece.size(), MSG_DONTWAIT);
    if (got == 0) return false;
    if (got > 0) seen.append(piece.data(), static_cast<std::size_t>(got));
    if (seen.size() > 64 * 1024) seen.erase(0, seen.size() - 1024);
  }
  return true;
}

}  // namespace

bool farewell_to_gdbstub(int socket) noexcept {
  // ETX stops a guest that runs, and is dropped where it stands. "#00" ends a packet that was cut
  // off: its sum is wrong, so QEMU drops it. Then a question that nobody else asked: once it is
  // answered, whatever was under way has been, and the next OK is that to "D".
  // "D" is said once, and nothing after it: QEMU 10.0.2 ends with SIGSEGV at what comes behind it (a
  // second ETX and "D", seen each time that QEMU was stopped for 1.6 s or more). A busy QEMU reads
  // late what was said before.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (!send_all(socket, "\x03")) return false;
    (void)await(socket, "#", std::chrono::milliseconds(300));  // "T02...": it has stopped
    if (!send_all(socket, "+#00$qC#b4")) return false;
    if (!await(socket, "$QC", std::chrono::milliseconds(1000))) continue;
    if (!send_all(socket, "+$D#44")) return false;
    return await(socket, "$OK#9a", std::chrono::milliseconds(5000));
  }
  return false;
}

}  // namespace vitrine
