#include "linux/view.h"

#include <algorithm>

namespace vitrine::linux {

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

}  // namespace vitrine::linux
