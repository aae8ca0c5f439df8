#include "cli/columns.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "cli/nearest.h"

namespace vitrine::cli {
namespace {

std::string lower(std::string_view word) {
  std::string text(word);
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

Outcome<std::size_t> find_column(std::string_view typed, const linux::ViewInfo& view) {
  const auto word = lower(typed);
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    if (view.columns[i].name == word) return i;
    names.push_back(view.columns[i].name);
  }
  std::string message = fmt::format("view \"{}\" has no column \"{}\"", view.name, typed);
  if (const auto guess = did_you_mean(word, names); !guess.empty()) message += "; " + guess;
  std::ranges::sort(names);
  return std::unexpected(
      Problem(Errc::invalid, std::move(message), "its columns: " + enumerate(names, "and")));
}

}  // namespace

std::vector<std::string> split(std::string_view words, char separator) {
  std::vector<std::string> parts;
  while (!words.empty()) {
    const auto end = std::min(words.find(separator), words.size());
    if (end > 0) parts.emplace_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return parts;
}

Outcome<Selection> select_columns(std::string_view words, const linux::ViewInfo& view,
                                  const Selection& usual) {
  const auto parts = split(words);
  if (parts.empty()) {
    return std::unexpected(Problem(Errc::invalid, "--columns names no column",
                                   fmt::format("see what there is: vitrine views {}", view.name)));
  }
  const bool edits = parts.front().front() == '+' || parts.front().front() == '-';
  Selection selected = edits ? usual : Selection{};
  for (const std::string_view part : parts) {
    if (part == "all") {
      selected.clear();
      for (std::size_t i = 0; i < view.columns.size(); ++i) selected.push_back(i);
      continue;
    }
    const bool sign = part.front() == '+' || part.front() == '-';
    const auto index = TRY(find_column(part.substr(sign ? 1 : 0), view));
    if (part.front() == '-') {
      std::erase(selected, index);
    } else if (std::ranges::find(selected, index) == selected.end()) {
      selected.push_back(index);
    }
  }
  if (selected.empty()) {
    return std::unexpected(Problem(Errc::invalid, "--columns leaves no column to print"));
  }
  return selected;
}

Outcome<std::vector<WritingSink::Key>> sort_keys(std::string_view words,
                                                 const linux::ViewInfo& view) {
  std::vector<WritingSink::Key> keys;
  for (std::string_view part : split(words)) {
    const bool descending = part.front() == '-';
    if (descending || part.front() == '+') part.remove_prefix(1);
    keys.push_back({TRY(find_column(part, view)), descending});
  }
  return keys;
}

Selection columns_for_programs(const linux::ViewInfo& view) {
  Selection columns;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    if (view.columns[i].show != linux::Column::on_request) columns.push_back(i);
  }
  return columns;
}

Selection columns_for_people(const linux::ViewInfo& view) {
  Selection columns;
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    if (view.columns[i].show == linux::Column::shown) columns.push_back(i);
  }
  return columns;
}

}  // namespace vitrine::cli
