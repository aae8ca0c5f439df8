// What a listening socket does while nobody can be taken in.
#pragma once

#include <cerrno>

namespace vitrine {

/// accept() failed with `error` for want of a descriptor or of memory. Who comes stays in the queue
/// and the listener ready: poll() would return at once, again and again. It is let be for kDeafMs.
[[nodiscard]] inline bool has_no_room(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}
inline constexpr int kDeafMs = 200;

}  // namespace vitrine
