// The one way in: a name, a path, a machine.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "machine/machine.h"

namespace vitrine {

struct OpenOptions {
  std::size_t layout = 0;   ///< which of Machine::layouts(), where the map is not told
  bool use_monitor = true;  ///< false: leave QMP sockets alone, as if there were none
};

/// Opens what `name_or_path` means: "file:PATH" or the path of an existing file (not a
/// socket) is a memory image; anything else is a running machine, by its name, pid, QMP
/// socket or libvirt domain.
/// Nothing of the guest is stopped or written, then or later.
/// Errors: as find_qemu(), open_qemu() and open_image(); each says what to do next.
/// Cost: about 10 ms live, 1 ms an image.
[[nodiscard]] Outcome<std::unique_ptr<Machine>> open_machine(std::string_view name_or_path,
                                                             OpenOptions options = {});

}  // namespace vitrine
