#include "fvm/supervisor/control_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "memory/listening.h"

namespace vitrine::fvm {
namespace {

constexpr std::size_t kMostClients = 32;
constexpr std::size_t kLongestRequest = 4096;
constexpr long long kPatienceMs = 5000;

long long now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Outcome<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("{} is too long for a socket", path)));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace

Outcome<ControlSocket> ControlSocket::listen(const std::string& path) {
  const auto address = TRY(address_of(path));
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());
  const auto old = ::umask(0177);
  const bool bound = socket && ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                                      sizeof address) == 0;
  ::umask(old);
  if (!bound || ::listen(socket.get(), 16) != 0) {
    return std::unexpected(Problem(errno == EACCES ? Errc::denied : Errc::io,
                                   fmt::format("{}: {}", path, std::strerror(errno))));
  }
  return ControlSocket(std::move(socket));
}

void ControlSocket::poll_for(std::vector<pollfd>& all) const {
  const bool hears = clients_.size() < kMostClients && now_ms() >= deaf_until_ms_;
  all.push_back({hears ? socket_.get() : -1, POLLIN, 0});
  for (const auto& client : clients_)
    all.push_back({client.socket.get(), client.reply.empty() ? short{POLLIN} : short{POLLOUT}, 0});
}

void ControlSocket::serve(const std::function<std::string(std::string_view)>& answer) {
  while (clients_.size() < kMostClients && now_ms() >= deaf_until_ms_) {
    FileDescriptor fresh(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fresh) {
      if (has_no_room(errno)) deaf_until_ms_ = now_ms() + kDeafMs;
      break;
    }
    clients_.push_back({std::move(fresh), {}, {}, 0, now_ms()});
  }
  std::erase_if(clients_, [&](Client& client) {
    const bool done = client.reply.empty() && !hear(client, answer);
    return done || (!client.reply.empty() && !tell(client)) ||
           now_ms() - client.since_ms > kPatienceMs;
  });
}

/// @returns false  it is gone, or says too much
bool ControlSocket::hear(Client& client,
                         const std::function<std::string(std::string_view)>& answer) {
  std::array<char, 1024> piece;
  while (true) {
    const auto got = ::recv(client.socket.get(), piece.data(), piece.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    client.request.append(piece.data(), static_cast<std::size_t>(got));
    if (client.request.size() > kLongestRequest) return false;
    const auto end = client.request.find('\n');
    if (end == std::string::npos) continue;
    client.reply = answer(std::string_view(client.request).substr(0, end)) + "\n";
    client.since_ms = now_ms();
    return true;
  }
}

/// As much as its socket takes now. @returns false  it has all, or is gone
bool ControlSocket::tell(Client& client) {
  while (client.told < client.reply.size()) {
    const auto rest = std::string_view(client.reply).substr(client.told);
    const auto sent =
        ::send(client.socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN;
    client.told += static_cast<std::size_t>(sent);
  }
  return false;
}

Outcome<std::string> ask_supervisor(const std::string& path, std::string_view request) {
  const auto address = TRY(address_of(path));
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    return std::unexpected(
        error == EACCES ? Problem(Errc::denied, fmt::format("no permission to use {}", path),
                                  "run as vitrined's user, or as root")
                        : Problem(Errc::not_found, fmt::format("no vitrined listens at {}", path),
                                  "start it (systemctl start vitrined), or name its runtime "
                                  "folder: --runtime DIR"));
  }
  const timeval patience{10, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto line = std::string(request) + "\n";
  if (::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return std::unexpected(Problem(Errc::vanished, "vitrined closed the connection"));
  }
  std::string reply;
  std::array<char, 65536> piece;
  while (true) {
    const auto got = ::recv(socket.get(), piece.data(), piece.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(Problem(Errc::timeout, "vitrined does not answer"));
    if (got == 0) break;
    reply.append(piece.data(), static_cast<std::size_t>(got));
  }
  if (!reply.ends_with('\n'))
    return std::unexpected(Problem(Errc::vanished, "vitrined closed the connection"));
  reply.pop_back();
  return reply;
}

}  // namespace vitrine::fvm
