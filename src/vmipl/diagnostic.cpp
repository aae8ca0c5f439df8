#include "vmipl/diagnostic.h"

#include <algorithm>
#include <array>

namespace vitrine::vmipl {

void Diagnostics::add(Diagnostic diagnostic) {
  const bool error = diagnostic.is_error();
  unsigned alike = 0;
  for (auto& item : items_) {
    if (item.code != diagnostic.code) continue;
    if (item.span == diagnostic.span) return;
    if (error && item.message == diagnostic.message && ++alike >= kMostAlike) {
      ++item.more;
      return;
    }
  }
  if (error ? errors_ >= kMaxErrors : warnings() >= kMaxWarnings) {
    if (error) ++dropped_;
    return;
  }
  if (error) ++errors_;
  items_.push_back(std::move(diagnostic));
}

void Diagnostics::silence(std::span<const std::string> names) { silence(names, {0, UINT32_MAX}); }

void Diagnostics::silence(std::span<const std::string> names, Span where) {
  std::erase_if(items_, [&](const Diagnostic& item) {
    if (item.is_error() || item.span.begin < where.begin || item.span.begin > where.end) return false;
    return std::find(names.begin(), names.end(), info(item.code).name) != names.end() ||
           std::find(names.begin(), names.end(), "all") != names.end();
  });
}

void Diagnostics::sort() {
  std::stable_sort(items_.begin(), items_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return a.span.begin < b.span.begin;
  });
}

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  constexpr std::size_t kLongest = 64;
  if (a.size() > kLongest || b.size() > kLongest) return limit + 1;
  if ((a.size() > b.size() ? a.size() - b.size() : b.size() - a.size()) > limit) return limit + 1;
  std::array<std::size_t, kLongest + 1> before{}, above{}, row{};
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = above;
    above = row;
  }
  return std::min(above[b.size()], limit + 1);
}

namespace {
std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}
}  // namespace

void Nearest::offer(std::string_view candidate) {
  if (candidate.empty() || candidate == word_) return;
  const std::size_t limit = word_.size() <= 2 ? 0 : word_.size() <= 4 ? 1 : word_.size() <= 8 ? 2 : 3;
  const auto low_word = lower(word_);
  const auto low_candidate = lower(candidate);
  std::size_t distance = low_word == low_candidate ? 0 : 2 * edit_distance(low_word, low_candidate, limit);
  if (distance > 2 * limit) {
    // A word that was cut short or grew a tail: "proc" for "process", "tasks_list" for "tasks".
    const bool prefix = low_word.size() >= 4 && low_candidate.size() <= low_word.size() + 8 &&
                        (low_candidate.starts_with(low_word) || low_word.starts_with(low_candidate)) &&
                        low_candidate.size() >= 4;
    if (!prefix) return;
    distance = 2 * limit + 1;
  }
  if (distance < distance_) {
    distance_ = distance;
    best_ = candidate;
  }
}

}  // namespace vitrine::vmipl
