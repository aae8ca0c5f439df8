// Bytes over a unix socket together with open files.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "memory/file_descriptor.h"

namespace vitrine {

inline constexpr std::size_t kMostFilesSent = 64;

/// One sendmsg(): the files go with the first byte. None of them: like send(). SIGPIPE never comes.
/// @param flags  beside MSG_NOSIGNAL
/// @returns bytes sent; -1 with errno set, EMSGSIZE for more than kMostFilesSent files
[[nodiscard]] ssize_t send_with_files(int socket, Bytes bytes, std::span<const int> files,
                                      int flags = 0) noexcept;

/// The files that recvmsg() laid into the control bytes of `message`, in their order. The caller
/// owns them: to be called once for a message.
[[nodiscard]] std::vector<FileDescriptor> take_files(msghdr& message);

}  // namespace vitrine
