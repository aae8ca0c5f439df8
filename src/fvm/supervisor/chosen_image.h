// The image of microVMs that a configuration names, as far as its guests ask for one.
#pragma once

#include <optional>

#include "fvm/supervisor/config.h"
#include "fvm/supervisor/microvm.h"

namespace vitrine::fvm {

/// Nothing where no image is there and every guest can do without (`isolation = "auto"`).
/// @returns not_found  a guest insists on a microVM
/// @returns as FvmImage::load()  an image that was altered is nobody's choice, whoever asked for it
[[nodiscard]] Outcome<std::optional<FvmImage>> chosen_image(const Config& config);

}  // namespace vitrine::fvm
