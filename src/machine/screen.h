// A picture of a machine's screen.
#pragma once

#include <string>

#include "base/problem.h"
#include "machine/qmp.h"

namespace vitrine {

enum class PictureFormat : std::uint8_t { ppm, png };

/// What the first display shows now. The guest is not stopped for it.
/// @returns unsupported  the machine has no display, or (png) a QEMU before 7.1
[[nodiscard]] Outcome<std::string> take_picture(Qmp& qmp, PictureFormat format);

}  // namespace vitrine
