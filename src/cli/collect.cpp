#include "cli/collect.h"

#include <algorithm>

#include "cli/view_run.h"

namespace vitrine::cli {
namespace {

class CollectingSink final : public linux::RowSink {
 public:
  CollectingSink(const linux::ViewInfo& info, const linux::Query& query,
                 const std::vector<std::size_t>& indices, std::vector<Collected::Row>& rows)
      : RowSink(info, query), indices_(indices), rows_(rows) {}

 protected:
  bool row(std::span<const linux::Value> values, std::string_view doubt) override {
    Collected::Row row{.doubt = std::string(doubt)};
    for (const auto index : indices_) {
      row.values.push_back(index < values.size() ? values[index] : linux::Value());
    }
    rows_.push_back(std::move(row));
    return true;
  }

 private:
  const std::vector<std::size_t>& indices_;
  std::vector<Collected::Row>& rows_;
};

}  // namespace

std::int64_t Collected::integer(const linux::Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(&value))
    return static_cast<std::int64_t>(*number);
  return 0;
}

std::uint64_t Collected::address(const linux::Value& value) {
  return static_cast<std::uint64_t>(integer(value));
}

std::string Collected::text(const linux::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  std::string joined;
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    for (const auto& element : *list) joined += (joined.empty() ? "" : " ") + element;
  }
  return joined;
}

Outcome<Collected> collect(std::string_view name, const std::vector<std::string_view>& columns,
                           std::vector<std::int64_t> pids, Context& context, Session& session) {
  const auto* view = TRY(find_view(context.world, name));
  const auto& info = view->info();
  linux::Query query{.wanted = std::vector<bool>(info.columns.size(), false),
                     .pids = std::move(pids)};
  std::vector<std::size_t> indices;
  for (const auto column : columns) {
    const auto at = std::ranges::find(info.columns, column, &linux::Column::name);
    const auto index = static_cast<std::size_t>(at - info.columns.begin());
    indices.push_back(index);
    if (at != info.columns.end()) query.wanted[index] = true;
  }
  auto reader = session.guest().open(*view);
  if (!reader) return std::unexpected(explain(std::move(reader).error(), session));
  Collected collected;
  CollectingSink sink(info, query, indices, collected.rows);
  auto tally = (*reader)->read(sink);
  if (!tally) return std::unexpected(explain(std::move(tally).error(), session));
  collected.status = report(*tally, sink, context.console);
  return collected;
}

}  // namespace vitrine::cli
