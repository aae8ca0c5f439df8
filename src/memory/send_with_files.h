// Sending bytes over a unix socket together with open files.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

#include "base/bytes.h"

namespace vitrine {

inline constexpr std::size_t kMostFilesSent = 64;

/// One sendmsg(): the files go with the first byte. None of them: like send(). SIGPIPE never comes.
/// @param flags  beside MSG_NOSIGNAL
/// @returns bytes sent; -1 with errno set, EMSGSIZE for more than kMostFilesSent files
[[nodiscard]] ssize_t send_with_files(int socket, Bytes bytes, std::span<const int> files,
                                      int flags = 0) noexcept;

}  // namespace vitrine
