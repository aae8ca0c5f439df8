#include "probe/view_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "probe/view_value.h"

namespace vitrine::probe {
namespace {

class Collect final : public linux::RowSink {
 public:
  Collect(const linux::ViewInfo& info, const linux::Query& query,
          std::span<const std::size_t> columns, std::vector<linux::Value>& into)
      : RowSink(info, query), columns_(columns), into_(into) {}
  std::size_t taken = 0;

 private:
  bool row(std::span<const linux::Value> values, std::string_view) override {
    for (const auto column : columns_) into_.push_back(values[column]);
    return ++taken < ViewRows::kMaxRows;
  }
  std::span<const std::size_t> columns_;
  std::vector<linux::Value>& into_;
};

}  // namespace

Outcome<void> ViewRows::prepare() {
  for (const auto& use : program_.views) {
    const auto* view = linux::find_view(use.view);
    if (view == nullptr)
      return std::unexpected(
          Problem(Errc::not_found, fmt::format("there is no view {}", use.view)));
    Use found{.view = view};
    const auto columns = view->info().columns;
    for (const auto& name : use.columns) {
      const auto at =
          std::find_if(columns.begin(), columns.end(),
                       [&](const linux::Column& column) { return column.name == name; });
      if (at == columns.end())
        return std::unexpected(
            Problem(Errc::not_found, fmt::format("the view {} has no column {}", use.view, name)));
      found.columns.push_back(static_cast<std::size_t>(at - columns.begin()));
    }
    uses_.push_back(std::move(found));
    if (readers_.contains(view)) continue;
    auto reader = view->open(kernel_);
    if (!reader)
      return std::unexpected(Problem(reader.error().code,
                                     fmt::format("the view {} cannot be had of this kernel: {}",
                                                 use.view, reader.error().message),
                                     reader.error().hint));
    // A column that this kernel does not give is missing in every row: said once.
    for (const auto& missing : (*reader)->missing_columns()) {
      for (const auto& column : use.columns) {
        if (missing.about(column)) say(fmt::format("{}.{}", use.view, missing.words()));
      }
    }
    readers_.emplace(view, std::move(*reader));
  }
  return {};
}

void ViewRows::say(std::string words) {
  constexpr std::size_t kMost = 20;
  if (tally_.words.size() < kMost &&
      std::find(tally_.words.begin(), tally_.words.end(), words) == tally_.words.end())
    tally_.words.push_back(std::move(words));
}

void ViewRows::open(unsigned number, unsigned use_number) {
  auto& slot = slots_[number];
  slot = {};
  if (use_number >= uses_.size()) return;
  const auto& use = uses_[use_number];
  linux::Query query;
  query.wanted.assign(use.view->info().columns.size(), false);
  for (const auto column : use.columns) query.wanted[column] = true;
  slot.columns = use.columns.size();
  Collect collect(use.view->info(), query, use.columns, slot.values);
  const auto read = readers_.at(use.view)->read(collect);
  slot.rows = collect.taken;
  tally_.doubtful += collect.doubtful();
  if (!read) {
    say(fmt::format("{}: {}", use.view->info().name, read.error().message));
    return;
  }
  tally_.dropped += read->dropped;
  if (read->truncated || collect.taken == kMaxRows)
    say(fmt::format("{}: a bound was reached, there may be more rows", use.view->info().name));
  for (const auto& warning : read->warnings)
    say(fmt::format("{}: {}", use.view->info().name, warning));
}

bool ViewRows::next(unsigned number) {
  auto& slot = slots_[number];
  if (slot.at >= slot.rows) {
    slot = {};  // what it held is given back
    return false;
  }
  ++slot.at;
  return true;
}

const linux::Value* ViewRows::value(unsigned number, unsigned column) const {
  const auto& slot = slots_[number];
  if (slot.at == 0 || column >= slot.columns) return nullptr;
  return &slot.values[(slot.at - 1) * slot.columns + column];
}

std::optional<std::uint64_t> ViewRows::number(unsigned slot, unsigned column) const {
  return number_of(value(slot, column));
}

std::optional<std::size_t> ViewRows::text(unsigned slot, unsigned column,
                                          std::span<char> into) const {
  return text_of(value(slot, column), into);
}

}  // namespace vitrine::probe
