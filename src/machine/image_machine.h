// A memory image as a Machine.
#pragma once

#include <memory>
#include <string>

#include "machine/machine.h"

namespace vitrine {

/// Opens a memory image: raw bytes (the file's offset is the guest-physical address).
/// The file is opened read-only and mapped; it may be larger than memory.
/// @returns not_found, denied, io  as the file
/// @returns malformed  the file is empty
[[nodiscard]] Outcome<std::unique_ptr<Machine>> open_image(const std::string& path);

}  // namespace vitrine
