#include "fvm/packet.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "memory/send_with_files.h"

namespace vitrine::fvm {

Result<std::pair<FileDescriptor, FileDescriptor>> packet_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(Errc::io, 0, "socketpair");
  return std::pair(FileDescriptor(ends[0]), FileDescriptor(ends[1]));
}

Result<void> send_packet(int socket, Bytes bytes, const std::vector<int>& descriptors) {
  if (descriptors.size() > kMostDescriptors)
    return fail(Errc::too_large, descriptors.size(), "descriptors of a packet");
  while (send_with_files(socket, bytes, descriptors, MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return fail(Errc::timeout, 0, "packet");
    return fail(errno == EPIPE || errno == ECONNRESET ? Errc::vanished : Errc::io, 0, "packet");
  }
  return {};
}

Result<std::optional<Packet>> receive_packet(int socket, std::size_t limit, bool wait) {
  Packet packet;
  packet.bytes.resize(limit);
  iovec piece{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostDescriptors)> control;
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t size;
  do {
    size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return std::nullopt;
  if (size < 0 && errno != ECONNRESET) return fail(Errc::io, 0, "packet");
  if (size <= 0) return fail(Errc::vanished, 0, "packet");
  packet.descriptors = take_files(message);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return fail(Errc::too_large, 0, "packet");
  packet.bytes.resize(static_cast<std::size_t>(size));
  return packet;
}

}  // namespace vitrine::fvm
