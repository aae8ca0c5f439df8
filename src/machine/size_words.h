// Sizes in words, for messages.
#pragma once

#include <cstdint>
#include <string>

namespace vitrine {

/// "1.5 GiB", "640 KiB".
[[nodiscard]] std::string size_in_words(std::uint64_t bytes);

}  // namespace vitrine
