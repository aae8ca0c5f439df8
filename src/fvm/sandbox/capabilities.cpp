#include "fvm/sandbox/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vitrine::fvm {

Outcome<void> give_up_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  // With no_new_privs not even a program that is root's own would bring them back.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::syscall(SYS_capset, &header, none) != 0)
    return std::unexpected(Problem(Errc::io, "capabilities cannot be given up"));
  return {};
}

}  // namespace vitrine::fvm
