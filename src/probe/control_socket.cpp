#include "probe/control_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include "memory/listening.h"

namespace vitrine::probe {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(2);         // for a question to come whole
constexpr auto kAnswerPatience = std::chrono::seconds(30);  // replacing a script takes a plan
constexpr std::size_t kMaxLine = 4096;

bool wait_for(int fd, short events, Clock::time_point until) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd ready{.fd = fd, .events = events, .revents = 0};
    const int got = poll(&ready, 1, static_cast<int>(left));
    if (got > 0) return true;
    if (got < 0 && errno != EINTR) return false;
  }
}

bool send_all(int fd, std::string_view text, Clock::time_point until) {
  while (!text.empty()) {
    const auto sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
      text.remove_prefix(static_cast<std::size_t>(sent));
    else if (errno == EAGAIN || errno == EINTR) {
      if (!wait_for(fd, POLLOUT, until)) return false;
    } else
      return false;
  }
  return true;
}

/// More of what comes, appended. False: the end, or no patience.
bool receive(int fd, std::string& into, Clock::time_point until) {
  char buffer[65536];
  for (;;) {
    if (!wait_for(fd, POLLIN, until)) return false;
    const auto got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
      into.append(buffer, static_cast<std::size_t>(got));
      return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) return false;
  }
}

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

std::optional<std::size_t> number_of(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string control_directory() {
  // secure: a program that was given other rights takes no path from its caller.
  if (const char* runtime = secure_getenv("XDG_RUNTIME_DIR");
      runtime != nullptr && runtime[0] == '/')
    return std::string(runtime) + "/vitrine";
  if (geteuid() == 0) return "/run/vitrine";
  return fmt::format("/tmp/vitrine-{}", geteuid());
}

Outcome<std::unique_ptr<ControlSocket>> ControlSocket::open(Answer answer) {
  const auto directory = control_directory();
  const auto failed = [&](std::string_view what) {
    const int error = errno;
    return std::unexpected(Problem(error == EACCES || error == EPERM ? Errc::denied : Errc::io,
                                   fmt::format("{}: {}: {}", directory, what, std::strerror(error)),
                                   "set XDG_RUNTIME_DIR to a folder of yours"));
  };
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot be made");
  struct stat status{};
  if (lstat(directory.c_str(), &status) != 0) return failed("cannot be looked at");
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
    return std::unexpected(
        Problem(Errc::denied, fmt::format("{} is not a folder of this user's alone", directory),
                "remove it, or set XDG_RUNTIME_DIR to a folder of yours"));
  }
  std::unique_ptr<ControlSocket> made(new ControlSocket(std::move(answer)));
  made->path_ = fmt::format("{}/{}.sock", directory, getpid());
  const auto address = address_of(made->path_);
  if (!address)
    return std::unexpected(Problem(Errc::too_large,
                                   fmt::format("{} is too long for a socket's path", made->path_),
                                   "set XDG_RUNTIME_DIR to a shorter one"));
  made->listener_ = FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  made->wake_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made->listener_ || !made->wake_) return failed("no socket");
  unlink(made->path_.c_str());  // of an earlier process of this number
  const auto mask = umask(0177);
  const bool bound = bind(made->listener_.get(), reinterpret_cast<const sockaddr*>(&*address),
                          sizeof *address) == 0;
  umask(mask);
  if (!bound || listen(made->listener_.get(), 8) != 0) return failed("no socket can be made");
  made->thread_ = std::thread([socket = made.get()] { socket->run(); });
  return made;
}

ControlSocket::~ControlSocket() {
  const std::uint64_t one = 1;
  if (wake_) (void)!write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  if (!path_.empty() && listener_) unlink(path_.c_str());
}

void ControlSocket::run() {
  bool deaf = false;
  for (;;) {
    pollfd ready[] = {{.fd = deaf ? -1 : listener_.get(), .events = POLLIN, .revents = 0},
                      {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    if (poll(ready, 2, deaf ? kDeafMs : -1) < 0 && errno != EINTR) return;
    deaf = false;
    if (ready[1].revents != 0) return;
    if (ready[0].revents == 0) continue;
    const FileDescriptor client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) {
      deaf = has_no_room(errno);
      continue;
    }
    // The folder is the owner's alone; the socket asks once more.
    ucred who{};
    socklen_t size = sizeof who;
    if (getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
        (who.uid != geteuid() && who.uid != 0))
      continue;
    serve(client.get());
  }
}

void ControlSocket::serve(int client) const {
  const auto until = Clock::now() + kPatience;
  std::string text;
  while (text.find('\n') == std::string::npos) {
    if (text.size() > kMaxLine || !receive(client, text, until)) return;
  }
  const auto end = text.find('\n');
  std::vector<std::string> words;
  std::string_view line(text.data(), end);
  while (!line.empty()) {
    const auto blank = std::min(line.find(' '), line.size());
    if (blank != 0) words.emplace_back(line.substr(0, blank));
    line.remove_prefix(std::min(blank + 1, line.size()));
  }
  std::string body = text.substr(end + 1);
  if (words.size() > 1 && words[0] == "replace") {
    const auto size = number_of(words.back());
    if (!size || *size > kMaxBody) return;
    while (body.size() < *size) {
      if (!receive(client, body, until)) return;
    }
    body.resize(*size);
  }
  (void)send_all(client, answer_(words, body) + "\n", Clock::now() + kPatience);
}

std::vector<std::string> control_sockets() {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(control_directory(), error)) {
    const auto name = entry.path().filename().string();
    if (!name.ends_with(".sock")) continue;
    const auto pid = number_of(std::string_view(name).substr(0, name.size() - 5));
    if (!pid || *pid == 0 || *pid > INT32_MAX) continue;
    if (kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH) {
      std::filesystem::remove(entry.path(), error);
      continue;
    }
    out.push_back(entry.path().string());
  }
  return out;
}

Outcome<std::string> ask_control(const std::string& path, std::string_view line,
                                 std::string_view body) {
  const auto address = address_of(path);
  const FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!address || !fd ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return std::unexpected(
        Problem(Errc::vanished, fmt::format("{}: {}", path, std::strerror(errno))));
  }
  const auto until = Clock::now() + kAnswerPatience;
  if (!send_all(fd.get(), fmt::format("{}\n", line), until) || !send_all(fd.get(), body, until))
    return std::unexpected(Problem(Errc::vanished, path + ": the script went away"));
  std::string answer;
  while (answer.find('\n') == std::string::npos) {
    if (answer.size() > ControlSocket::kMaxBody || !receive(fd.get(), answer, until)) {
      return std::unexpected(
          Problem(Clock::now() >= until ? Errc::timeout : Errc::vanished, path + ": no answer"));
    }
  }
  answer.resize(answer.find('\n'));
  return answer;
}

}  // namespace vitrine::probe
