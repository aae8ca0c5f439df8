#include "linux/view.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "linux/kernel.h"

namespace vitrine::linux {
namespace {

/// Of one reading; a guest can give cause for one a row.
constexpr std::size_t kMaxWarnings = 64;

/// A view never leaves something out without a word where the host failed it.
class WitnessedReader final : public ViewReader {
 public:
  WitnessedReader(std::unique_ptr<ViewReader> inner, const Kernel& kernel, std::uint64_t opening)
      : inner_(std::move(inner)), kernel_(kernel), opening_(opening) {}

  [[nodiscard]] Outcome<Tally> read(RowSink& rows) override {
    const auto before = kernel_.ram().refused();
    auto tally = TRY(inner_->read(rows));
    if (const auto all = tally.warnings.size(); all > kMaxWarnings) {
      tally.warnings.resize(kMaxWarnings);
      tally.warnings.push_back(fmt::format("and {} more warnings", all - kMaxWarnings));
    }
    const auto refused = kernel_.ram().refused() - before + std::exchange(opening_, 0);
    if (refused != 0)
      tally.warnings.push_back(fmt::format(
          "{} reads of the machine's memory failed, the last at physical {:#x}: rows or "
          "values may be missing",
          refused, kernel_.ram().last_refused().value));
    return tally;
  }
  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    return inner_->missing_columns();
  }

 private:
  std::unique_ptr<ViewReader> inner_;
  const Kernel& kernel_;
  std::uint64_t opening_;  // refused while it was opened; told with the first reading
};

}  // namespace

std::string_view name(ColumnType type) noexcept {
  switch (type) {
    case ColumnType::boolean:
      return "boolean";
    case ColumnType::integer:
      return "integer";
    case ColumnType::address:
      return "address";
    case ColumnType::mask:
      return "mask";
    case ColumnType::size:
      return "size";
    case ColumnType::duration:
      return "duration";
    case ColumnType::time:
      return "time";
    case ColumnType::text:
      return "text";
    case ColumnType::list:
      return "list";
  }
  return "unknown";
}

bool MissingColumns::about(std::string_view column) const noexcept {
  return std::ranges::find(columns, column) != columns.end();
}

std::string MissingColumns::words() const {
  return columns.empty() ? reason : fmt::format("{}: {}", fmt::join(columns, ", "), reason);
}

RowSink::RowSink(const ViewInfo& info, const Query& query)
    : wanted_(query.wanted), pids_(query.pids), values_(info.columns.size()) {
  if (wanted_.empty()) {
    for (const auto& column : info.columns) wanted_.push_back(column.show != Column::on_request);
  }
  wanted_.resize(info.columns.size(), false);
}

bool RowSink::wants_pid(std::int64_t tgid) const {
  return pids_.empty() || std::ranges::find(pids_, tgid) != pids_.end();
}

void RowSink::begin() {
  std::ranges::fill(values_, Value{});
  doubt_.clear();
}

void RowSink::doubt(std::string_view why) {
  if (doubt_.empty()) doubt_ = why;
}

bool RowSink::end() {
  ++rows_;
  if (!doubt_.empty()) ++doubtful_;
  return row(values_, doubt_);
}

Outcome<std::unique_ptr<ViewReader>> View::open(const Kernel& kernel) const {
  const auto before = kernel.ram().refused();
  auto inner = TRY(open_(kernel));
  return std::make_unique<WitnessedReader>(std::move(inner), kernel,
                                           kernel.ram().refused() - before);
}

}  // namespace vitrine::linux
