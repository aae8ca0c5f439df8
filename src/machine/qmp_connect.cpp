// Reaching a QMP socket: apart from the rest, so that a program that is handed its connection
// holds no resolver.
#include <fcntl.h>
#include <fmt/core.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "machine/qmp.h"

namespace vitrine {
namespace {

using Clock = std::chrono::steady_clock;

std::unexpected<Problem> problem(Errc code, std::string message, std::string hint = {}) {
  return std::unexpected(Problem(code, std::move(message), std::move(hint)));
}

int milliseconds_until(Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

/// 0, or an errno; waits where the peer's queue is full, until the deadline.
int connect_until(int socket, const sockaddr* address, socklen_t size, Clock::time_point until) {
  while (true) {
    if (::connect(socket, address, size) == 0) return 0;
    if (errno == EINPROGRESS) {
      pollfd ready{.fd = socket, .events = POLLOUT, .revents = 0};
      if (::poll(&ready, 1, milliseconds_until(until)) <= 0) return ETIMEDOUT;
      int error = 0;
      socklen_t length = sizeof error;
      ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
      return error;
    }
    if (errno != EAGAIN && errno != EINTR) return errno;
    if (Clock::now() >= until) return EAGAIN;  // the queue of a unix socket is full
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

struct Connected {
  FileDescriptor socket;
  int error = 0;
};

Connected connect_unix(const std::string& path, Clock::time_point until) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  FileDescriptor folder;
  std::string name = path;
  if (name.size() >= sizeof address.sun_path) {  // too long for the address: go through its folder
    const auto slash = path.rfind('/');
    folder = FileDescriptor(::open(path.substr(0, slash + 1).c_str(), O_PATH | O_CLOEXEC));
    if (!folder) return {{}, errno};
    name = fmt::format("/proc/self/fd/{}/{}", folder.get(), path.substr(slash + 1));
    if (name.size() >= sizeof address.sun_path) return {{}, ENAMETOOLONG};
  }
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  Connected result;
  result.socket = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!result.socket) return {{}, errno};
  result.error = connect_until(result.socket.get(), reinterpret_cast<const sockaddr*>(&address),
                               sizeof address, until);
  return result;
}

Connected connect_tcp(const QmpEndpoint& endpoint, Clock::time_point until) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const char* host = endpoint.host.empty() ? "localhost" : endpoint.host.c_str();
  if (::getaddrinfo(host, endpoint.port.c_str(), &wanted, &found) != 0) return {{}, ENOENT};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  Connected result{{}, ENOENT};
  for (const auto* one = found; one != nullptr; one = one->ai_next) {
    result.socket = FileDescriptor(::socket(
        one->ai_family, one->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, one->ai_protocol));
    if (!result.socket) continue;
    result.error = connect_until(result.socket.get(), one->ai_addr, one->ai_addrlen, until);
    if (result.error == 0) break;
  }
  return result;
}

}  // namespace

Outcome<std::unique_ptr<Qmp>> Qmp::connect(const QmpEndpoint& endpoint, Timeouts timeouts) {
  const auto until = Clock::now() + timeouts.greeting;
  auto connected =
      endpoint.tcp() ? connect_tcp(endpoint, until) : connect_unix(endpoint.path, until);
  switch (connected.error) {
    case 0:
      break;
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      return problem(Errc::not_found,
                     fmt::format("nobody listens at the QMP socket {}", endpoint.shown));
    case EACCES:
    case EPERM:
      return problem(Errc::denied,
                     fmt::format("no permission to use the QMP socket {}", endpoint.shown),
                     "run as the user of that QEMU process, or as root");
    case EAGAIN:
    case ETIMEDOUT:
      return problem(
          Errc::timeout,
          fmt::format("the QMP socket {} is busy: another client holds it", endpoint.shown));
    default:
      return problem(Errc::io, fmt::format("cannot connect to the QMP socket {}: {}",
                                           endpoint.shown, std::strerror(connected.error)));
  }
  auto qmp = adopt(std::move(connected.socket), timeouts);
  if (!qmp && qmp.error().code == Errc::timeout) {
    qmp.error().message = fmt::format(
        "the QMP socket {} is busy: it takes a connection but does not answer (one client at a "
        "time)",
        endpoint.shown);
  }
  return qmp;
}

}  // namespace vitrine
