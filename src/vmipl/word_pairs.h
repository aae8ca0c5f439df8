// Pairs of words, looked up by the first: "comm" and "process.name".
#pragma once

#include <array>
#include <string_view>

namespace vitrine::vmipl {

struct Pair {
  std::string_view theirs, ours;
};

/// @returns empty if none is there.
template <std::size_t N>
std::string_view look_up(const std::array<Pair, N>& pairs, std::string_view word) {
  for (const auto& pair : pairs) {
    if (pair.theirs == word) return pair.ours;
  }
  return {};
}

}  // namespace vitrine::vmipl
