#include "probe/agent/agent_link.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include "memory/send_with_files.h"
#include "probe/agent/agent.h"

namespace vitrine::probe {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kWelcomeLimit = std::chrono::seconds(2);
constexpr auto kSendLimit = std::chrono::seconds(5);

int milliseconds_until(AgentLink::Deadline until) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(std::min<long long>(left + 1, 60'000));
}

}  // namespace

std::optional<std::string> agent_socket_of(const std::vector<std::string>& words, pid_t qemu,
                                           unsigned uid) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] != "-plugin" && words[i] != "--plugin") continue;
    std::string_view rest = words[i + 1];
    std::string directory = agent_directory(uid);
    bool ours = false;
    while (!rest.empty()) {
      auto part = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), part.size() + 1));
      if (part.starts_with("file=")) part.remove_prefix(5);
      ours = ours || part.ends_with("vitrine-agent.so");
      if (part.starts_with("arg=")) part.remove_prefix(4);
      if (part.starts_with("dir=")) directory = part.substr(4);
    }
    if (ours) return fmt::format("{}/agent-{}.sock", directory, qemu);
  }
  return std::nullopt;
}

std::optional<std::string> find_agent_socket(pid_t qemu) {
  std::ifstream file(fmt::format("/proc/{}/cmdline", qemu), std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0') && words.size() < 65536;)
    words.push_back(word);
  struct stat status{};
  if (::stat(fmt::format("/proc/{}", qemu).c_str(), &status) != 0) return std::nullopt;
  return agent_socket_of(words, qemu, status.st_uid);
}

Outcome<AgentLink> AgentLink::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("{} is too long for a socket's name", path)));
  std::memcpy(address.sun_path, path.c_str(), path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket)
    return std::unexpected(Problem(Errc::io, fmt::format("no socket: {}", std::strerror(errno))));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const auto code = errno == EACCES || errno == EPERM ? Errc::denied : Errc::not_found;
    return std::unexpected(Problem(
        code, fmt::format("the agent at {} cannot be reached: {}", path, std::strerror(errno))));
  }
  AgentLink link(std::move(socket));
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(link.socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
    link.peer_ = peer.pid;
  auto first = TRY(link.receive(Clock::now() + kWelcomeLimit));
  if (first.message.kind == MessageKind::refused) {
    const auto& body = first.message.body;
    return std::unexpected(Problem(
        Errc::denied,
        fmt::format("the agent refuses: {}",
                    std::string_view(reinterpret_cast<const char*>(body.data()), body.size()))));
  }
  auto welcome = decode_message<Welcome>(first.message.body);
  if (first.message.kind != MessageKind::welcome || !welcome || welcome->vcpus > kMaxVcpus)
    return std::unexpected(
        Problem(Errc::protocol, fmt::format("what listens at {} is no agent", path)));
  link.welcome_ = *welcome;
  return link;
}

Outcome<void> AgentLink::send(MessageKind kind, Bytes body) {
  const auto frame = encode_frame(kind, body);
  const auto until = Clock::now() + kSendLimit;
  std::size_t sent = 0;
  while (sent < frame.size()) {
    const auto done = ::send(socket_.get(), frame.data() + sent, frame.size() - sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done > 0) {
      sent += static_cast<std::size_t>(done);
      continue;
    }
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno != EAGAIN)
      return std::unexpected(Problem(Errc::vanished, "the agent is gone"));
    pollfd socket{socket_.get(), POLLOUT, 0};
    if (::poll(&socket, 1, milliseconds_until(until)) <= 0)
      return std::unexpected(Problem(Errc::timeout, "the agent does not read"));
  }
  return {};
}

Outcome<AgentLink::Received> AgentLink::receive(Deadline until) {
  for (;;) {
    if (input_.size() >= kFrameHead) {
      const auto head = decode_frame_head(Bytes(input_).first(kFrameHead));
      if (!head)
        return std::unexpected(Problem(Errc::protocol, "the agent speaks another protocol"));
      if (input_.size() - kFrameHead >= head->length) {
        Received received;
        received.message.kind = head->kind;
        const auto from = input_.begin() + static_cast<std::ptrdiff_t>(kFrameHead);
        const auto to = from + static_cast<std::ptrdiff_t>(head->length);
        received.message.body.assign(from, to);
        input_.erase(input_.begin(), to);
        // Events may stand before the answer that it came with.
        if (head->kind == MessageKind::loaded) received.descriptor = std::move(descriptor_);
        return received;
      }
    }
    pollfd socket{socket_.get(), POLLIN, 0};
    const int ready = ::poll(&socket, 1, milliseconds_until(until));
    if (ready == 0) return std::unexpected(Problem(Errc::timeout, "the agent does not answer"));
    if (ready < 0 && errno == EINTR) continue;
    std::array<std::byte, 64 * 1024> part;
    iovec into{part.data(), part.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return std::unexpected(Problem(Errc::vanished, "the agent is gone"));
    if (auto files = take_files(message); !files.empty()) descriptor_ = std::move(files.back());
    input_.insert(input_.end(), part.begin(), part.begin() + got);
  }
}

}  // namespace vitrine::probe
