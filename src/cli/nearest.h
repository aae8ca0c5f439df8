// Nearest: what a mistyped word was probably meant to be.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::cli {

/// Up to `most` of the words, closest first: those a slip or two away, those that begin
/// with what was typed, or with which it begins.
[[nodiscard]] std::vector<std::string_view> nearest(std::string_view typed,
                                                    std::span<const std::string_view> words,
                                                    std::size_t most = 3);

/// "did you mean pid, tgid or ppid?", or nothing if no word is near.
[[nodiscard]] std::string did_you_mean(std::string_view typed,
                                       std::span<const std::string_view> words);

/// "a, b and c" with the given last word.
[[nodiscard]] std::string enumerate(std::span<const std::string_view> words, std::string_view last);

}  // namespace vitrine::cli
