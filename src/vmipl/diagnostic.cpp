#include "vmipl/diagnostic.h"

#include <algorithm>

#include "base/edit_distance.h"

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
    if (item.is_error() || item.span.begin < where.begin || item.span.begin > where.end)
      return false;
    return std::find(names.begin(), names.end(), info(item.code).name) != names.end() ||
           std::find(names.begin(), names.end(), "all") != names.end();
  });
}

void Diagnostics::sort() {
  std::stable_sort(items_.begin(), items_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return a.span.begin < b.span.begin;
  });
}

namespace {
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}
}  // namespace

Nearest::Nearest(std::string_view word) : word_(word), lower_(lower(word)) {}

void Nearest::offer(std::string_view candidate) {
  if (candidate.empty() || word_.empty() || candidate == word_) return;
  const std::size_t limit = word_.size() <= 2   ? 0
                            : word_.size() <= 4 ? 1
                            : word_.size() <= 8 ? 2
                                                : 3;
  const auto& low_word = lower_;
  // Neither near nor one of them the beginning of the other.
  const auto apart = candidate.size() > word_.size() ? candidate.size() - word_.size()
                                                     : word_.size() - candidate.size();
  if (apart > limit && lower(candidate.front()) != low_word.front()) return;
  const auto low_candidate = lower(candidate);
  std::size_t distance =
      low_word == low_candidate ? 0 : 2 * edit_distance(low_word, low_candidate, limit);
  if (distance > 2 * limit) {
    // A word that was cut short or grew a tail: "proc" for "process", "tasks_list" for "tasks".
    const bool prefix =
        low_word.size() >= 4 && low_candidate.size() <= low_word.size() + 8 &&
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
