// vitrine views: what can be shown, from the catalogue that the views themselves are made of.
#include <fmt/core.h>

#include "cli/commands/families.h"
#include "cli/fixed_view.h"
#include "cli/views_reference.h"

namespace vitrine::cli {
namespace {

using linux::Column;
using linux::ColumnType;

constexpr Column kViewColumns[] = {
    {"view", ColumnType::text, "its name, for vitrine show"},
    {"columns", ColumnType::integer, "how many columns it has"},
    {"key", ColumnType::text, "columns that identify a row"},
    {"order", ColumnType::text, "how its rows are ordered", Column::hidden},
    {"summary", ColumnType::text, "what it shows"},
};
constexpr linux::ViewInfo kViews = {"views", "the views there are", kViewColumns, "as documented",
                                    "view"};

constexpr Column kColumnColumns[] = {
    {"column", ColumnType::text, "its name, for --columns"},
    {"type", ColumnType::text, "what it holds"},
    {"show", ColumnType::text,
     "shown, hidden (in --json and by --columns) or on request (by --columns)"},
    {"summary", ColumnType::text, "what it means"},
};
constexpr linux::ViewInfo kColumns = {"columns", "the columns of a view", kColumnColumns,
                                      "as documented", "column"};

Outcome<Status> list_views(Context& context, const Arguments& words) {
  return run_fixed_view(kViews, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto* view : context.world.views()) {
      const auto& info = view->info();
      rows.begin();
      rows.set(0, std::string(info.name));
      rows.set(1, static_cast<std::int64_t>(info.columns.size()));
      rows.set(2, std::string(info.key));
      rows.set(3, std::string(info.order));
      rows.set(4, std::string(info.summary));
      if (!rows.end()) break;
    }
    return {};
  });
}

Outcome<Status> list_columns(const linux::ViewInfo& info, Context& context,
                             const Arguments& words) {
  if (!words.has("--json") && !words.has("--csv")) {
    context.console.out.write(fmt::format("{}: {}; {}\n\n", info.name, info.summary, info.order));
  }
  return run_fixed_view(kColumns, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto& column : info.columns) {
      rows.begin();
      rows.set(0, std::string(column.name));
      rows.set(1, std::string(linux::name(column.type)));
      rows.set(2, std::string(name_of(column.show)));
      rows.set(3, std::string(column.summary));
      if (!rows.end()) break;
    }
    return {};
  });
}

Outcome<Status> run(Context& context, const Arguments& words) {
  if (words.has("--markdown")) {
    context.console.out.write(views_reference(context.world.views()));
    return Status::done;
  }
  if (words.operands.empty()) return list_views(context, words);
  const auto* view = TRY(find_view(context.world, words.operands.front()));
  return list_columns(view->info(), context, words);
}

}  // namespace

Command views_command() {
  auto options = fixed_view_options();
  options.push_back({"--markdown", "", "the whole reference, as docs/reference/views.md has it"});
  return {.name = "views",
          .group = "Look",
          .summary = "the views there are, and their columns",
          .operands = {{.name = "VIEW", .words = Words::view, .optional = true}},
          .options = std::move(options),
          .examples = {"vitrine views", "vitrine views processes"},
          .run = run};
}

}  // namespace vitrine::cli
