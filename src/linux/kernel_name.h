// The name that a kernel of any kind gives itself, looked for by its shape alone: what a
// message can still say when nothing else of a kernel was found.
#pragma once

#include <optional>
#include <string>

#include "memory/physical_memory.h"

namespace vitrine::linux {

/// What uname says.
struct KernelName {
  std::string release;  ///< "6.1.0-50-686-pae"
  std::string machine;  ///< "x86_64", "i686"

  [[nodiscard]] bool is_32_bit() const { return machine != "x86_64"; }
};

/// The first init_uts_ns in RAM whose text is sane and whose machine is an x86. It may be
/// that of an earlier boot.
/// Cost: a scan of all populated RAM.
/// Source: include/uapi/linux/utsname.h, struct new_utsname: six texts of 65 bytes.
[[nodiscard]] std::optional<KernelName> find_kernel_name(const PhysicalMemory& ram);

}  // namespace vitrine::linux
