#include "machine/guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "machine/gdb_farewell.h"
#include "machine/gdb_link.h"
#include "memory/send_with_files.h"

namespace vitrine {
namespace {

constexpr std::size_t kLongestMessage = 60 * 1024;
constexpr auto kPatience = std::chrono::seconds(20);

// A message: "+NUMBER" or "-NUMBER", then threes of a kind (a file to be written, a command of the
// monitor) with its two parts, all ended by NULs.
constexpr std::string_view kFile = "w", kCommand = "c";

std::string message_of(char kind, std::uint64_t number, const Undo* undo) {
  std::string text = kind + std::to_string(number) + '\0';
  if (undo != nullptr) {
    const auto add = [&](std::string_view what, std::string_view first, std::string_view second) {
      for (const auto part : {what, first, second}) (text += part) += '\0';
    };
    for (const auto& file : undo->files) add(kFile, file.path, file.text);
    for (const auto& command : undo->commands) add(kCommand, command.command, command.arguments);
  }
  return text;
}

bool send_message(int socket, const std::string& text, int descriptor) {
  while (true) {
    const auto sent = send_with_files(socket, std::as_bytes(std::span(text)),
                                      {&descriptor, descriptor >= 0 ? 1U : 0U});
    if (sent >= 0) return true;
    if (errno != EINTR) return false;
  }
}

struct Promise {
  std::uint64_t number = 0;
  Undo undo;
  FileDescriptor gdb;
};

/// The next message, or false at the end.
bool receive_message(int socket, std::vector<Promise>& promises) {
  std::vector<char> text(kLongestMessage);
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  iovec piece{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got < 0) return errno == EINTR;
  if (got == 0) return false;
  Promise promise;
  if (auto files = take_files(message); !files.empty()) promise.gdb = std::move(files.front());
  std::vector<std::string> words;
  for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
    words.emplace_back(text.data() + at,
                       ::strnlen(text.data() + at, static_cast<std::size_t>(got) - at));
    at += words.back().size() + 1;
  }
  if (words.empty() || words[0].size() < 2) return true;
  promise.number = std::strtoull(words[0].c_str() + 1, nullptr, 10);
  std::erase_if(promises, [&](const Promise& other) { return other.number == promise.number; });
  if (words[0][0] == '-') return true;
  for (std::size_t i = 1; i + 2 < words.size(); i += 3) {
    if (words[i] == kFile)
      promise.undo.files.push_back({words[i + 1], words[i + 2]});
    else
      promise.undo.commands.push_back({words[i + 1], words[i + 2]});
  }
  promises.push_back(std::move(promise));
  return true;
}

void undo_all(const Monitor& monitor, std::vector<Promise>& promises) {
  std::reverse(promises.begin(), promises.end());
  for (const auto& promise : promises) {
    for (const auto& file : promise.undo.files) {
      const FileDescriptor opened(::open(file.path.c_str(), O_WRONLY | O_CLOEXEC));
      if (opened) (void)!::write(opened.get(), file.text.data(), file.text.size());
    }
  }
  bool heard = true;
  for (const auto& promise : promises) {
    if (promise.gdb) heard = farewell_to_gdbstub(promise.gdb.get()) && heard;
  }
  const bool files_alone = std::ranges::all_of(promises, [](const Promise& promise) {
    return promise.undo.commands.empty() && !promise.gdb;
  });
  if (files_alone) return;
  auto qmp = monitor.talk(kPatience);
  if (!qmp) return;
  for (const auto& promise : promises) {
    for (const auto& command : promise.undo.commands)
      (void)(*qmp)->execute(command.command, command.arguments);
    if (!promise.gdb) continue;
    let_go(**qmp);
    if (!heard) (void)clear_gdbstub(**qmp);  // its breakpoints may still be there
  }
}

[[noreturn]] void guard(int socket, const Monitor& monitor) {
  ::setsid();
  ::prctl(PR_SET_NAME, "vitrine-guard");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGUSR1, SIGUSR2})
    ::signal(signal, SIG_IGN);
  // Nothing of ours stays open in it: a pipe of our output would never end.
  const int kept = ::fcntl(socket, F_DUPFD_CLOEXEC, 3);
  ::close_range(0, static_cast<unsigned>(kept) - 1, 0);
  ::close_range(static_cast<unsigned>(kept) + 1, ~0U, 0);
  (void)::open("/dev/null", O_RDWR);
  (void)::dup(0);
  (void)::dup(0);
  std::vector<Promise> promises;
  while (receive_message(kept, promises)) {
  }
  if (!promises.empty()) undo_all(monitor, promises);
  ::_exit(0);
}

}  // namespace

Outcome<std::unique_ptr<Guardian>> Guardian::start(const Monitor& monitor) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return std::unexpected(Problem(Errc::io, "no socket for the guardian process"));
  }
  FileDescriptor ours(ends[0]), its(ends[1]);
  const auto pid = ::fork();
  if (pid < 0) return std::unexpected(Problem(Errc::io, "the host refuses another process"));
  if (pid == 0) guard(its.get(), monitor);
  return std::unique_ptr<Guardian>(new Guardian(std::move(ours), pid));
}

Guardian::~Guardian() {
  socket_.reset();
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

Outcome<std::uint64_t> Guardian::promise(const Undo& undo) {
  const auto text = message_of('+', next_, &undo);
  if (text.size() > kLongestMessage || !send_message(socket_.get(), text, undo.gdb_socket)) {
    return std::unexpected(
        Problem(Errc::vanished, "the guardian process is gone: nothing is changed without it"));
  }
  return next_++;
}

void Guardian::kept(std::uint64_t number) {
  (void)send_message(socket_.get(), message_of('-', number, nullptr), -1);
}

}  // namespace vitrine
