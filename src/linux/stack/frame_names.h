// FrameNames: what the code on a kernel's stack is called, as the kernel's own traces call it.
#pragma once

#include <string>

#include "base/address.h"

namespace vitrine::linux {

class Kernel;

struct FrameName {
  std::string symbol;  ///< "do_exit+0x12"; empty: no symbol is near
  std::string module;  ///< "ext4", "bpf"; empty: the kernel itself
};

/// `address` of an instruction (`exact`), or of the one after a call: then the function is
/// the one that called, though the call may be its last instruction.
[[nodiscard]] FrameName name_frame(const Kernel& kernel, Gva address, bool exact);

}  // namespace vitrine::linux
