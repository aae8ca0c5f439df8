// What a file is, by its first bytes.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace vitrine::format {

enum class ImageKind : std::uint8_t {
  raw,  ///< no magic known here
  elf,
  lime,
  kdump,  ///< plain or flattened
  avml,   ///< compressed
  other,  ///< known, and not read by us
};

struct ImageGuess {
  ImageKind kind = ImageKind::raw;
  std::string_view words;   ///< of `other`: "a qcow2 disk"
  std::string_view advice;  ///< of `other`: what to do with it
};

/// @param head  the first bytes of the file; 512 are enough.
[[nodiscard]] ImageGuess guess_image(Bytes head);

}  // namespace vitrine::format
