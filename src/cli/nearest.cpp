#include "cli/nearest.h"

#include <algorithm>

#include "base/edit_distance.h"

namespace vitrine::cli {
namespace {

constexpr std::size_t kLongestWord = 64;  // longer ones are no slip of the fingers

}  // namespace

std::vector<std::string_view> nearest(std::string_view typed,
                                      std::span<const std::string_view> words, std::size_t most) {
  struct Candidate {
    std::size_t distance;
    std::string_view word;
  };
  std::vector<Candidate> near;
  if (typed.empty() || typed.size() > kLongestWord) return {};
  for (const auto word : words) {
    if (word.empty() || word.size() > kLongestWord) continue;
    auto steps = edit_distance(typed, word, kLongestWord);
    const bool begins = typed.size() >= 2 && word.size() >= 2 &&
                        (word.starts_with(typed) || typed.starts_with(word));
    if (begins) steps = std::min<std::size_t>(steps, 1);
    if (steps <= 1 + typed.size() / 4 && steps < word.size()) near.push_back({steps, word});
  }
  std::ranges::stable_sort(near, {}, &Candidate::distance);
  std::vector<std::string_view> result;
  for (const auto& candidate : near) {
    if (result.size() < most) result.push_back(candidate.word);
  }
  return result;
}

std::string enumerate(std::span<const std::string_view> words, std::string_view last) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " " + std::string(last) + " " : std::string(", ");
    text += words[i];
  }
  return text;
}

std::string did_you_mean(std::string_view typed, std::span<const std::string_view> words) {
  const auto near = nearest(typed, words);
  if (near.empty()) return {};
  return "did you mean " + enumerate(near, "or") + "?";
}

}  // namespace vitrine::cli
