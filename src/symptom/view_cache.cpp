#include "symptom/view_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vitrine::symptom {
namespace {

using linux::Column;
using linux::ColumnType;

constexpr std::array<Column, 3> kRequiredColumns{{
    {"name", ColumnType::text, "of a process that must run"},
    {"running", ColumnType::integer,
     "how many processes of that name run: neither ended nor stopped"},
    {"pid", ColumnType::integer, "of one of them; absent: there is none"},
}};
constexpr std::array<Column, 8> kFindingColumns{{
    {"symptom", ColumnType::text, "its name"},
    {"severity", ColumnType::text, "info, low, medium, high, critical"},
    {"technique", ColumnType::text, "ATT&CK"},
    {"message", ColumnType::text, "what the rule reported"},
    {"pid", ColumnType::integer, "of the process; absent: the kernel's own"},
    {"process", ColumnType::text, "its name"},
    {"symbols", ColumnType::list, "names of what lies at its addresses"},
    {"evidence", ColumnType::list, "COLUMN=VALUE of the row that showed it"},
}};
constexpr linux::ViewInfo kRequired{.name = kRequiredView,
                                    .summary = "processes that must run",
                                    .columns = kRequiredColumns,
                                    .order = "as required",
                                    .key = "name"};
constexpr linux::ViewInfo kFindings{.name = kFindingsView,
                                    .summary = "the finding that is judged",
                                    .columns = kFindingColumns,
                                    .order = "-",
                                    .key = "symptom message"};

vmipl::ColumnKind kind(ColumnType type) { return static_cast<vmipl::ColumnKind>(type); }
static_assert(static_cast<int>(ColumnType::list) == static_cast<int>(vmipl::ColumnKind::list));

/// Collects what a reader gives.
class Collector final : public linux::RowSink {
 public:
  Collector(const linux::ViewInfo& info, const linux::Query& query, ViewRows& into)
      : RowSink(info, query), into_(into) {}

 protected:
  bool row(std::span<const linux::Value> values, std::string_view doubt) override {
    if (into_.rows.size() == ViewCache::kMaxRows) {
      into_.complete = false;
      into_.notes.push_back(
          fmt::format("{}: more than {} rows", into_.info->name, ViewCache::kMaxRows));
      return false;
    }
    into_.rows.emplace_back(values.begin(), values.end());
    into_.doubtful.push_back(!doubt.empty());
    return true;
  }

 private:
  ViewRows& into_;
};

/// It has ended and waits for its parent, or a signal stopped it.
bool stands_still(const linux::Value& state, const linux::Value& threads) {
  const auto* letter = std::get_if<std::string>(&state);
  const auto* number = std::get_if<std::int64_t>(&threads);
  if (letter == nullptr) return false;
  // The first thread may end and leave the work to the others.
  return *letter == "T" || (*letter == "Z" && (number == nullptr || *number <= 1));
}

}  // namespace

const linux::ViewInfo* find_info(std::string_view view) noexcept {
  if (view == kRequiredView) return &kRequired;
  if (view == kFindingsView) return &kFindings;
  const auto* found = linux::find_view(view);
  return found == nullptr ? nullptr : &found->info();
}

std::optional<std::vector<vmipl::ViewColumn>> RuleViews::columns(std::string_view view) const {
  const bool own = view == kRequiredView || view == kFindingsView;
  if (!own && kernels_ != nullptr) return kernels_->columns(view);
  const auto* info = find_info(view);
  if (info == nullptr) return std::nullopt;
  std::vector<vmipl::ViewColumn> columns;
  for (const auto& column : info->columns)
    columns.push_back({std::string(column.name), kind(column.type)});
  return columns;
}

std::vector<std::string> RuleViews::names() const {
  std::vector<std::string> names{std::string(kRequiredView)};
  if (kernels_ != nullptr) {
    for (auto& name : kernels_->names()) names.push_back(std::move(name));
    return names;
  }
  for (const auto* view : linux::views()) names.emplace_back(view->info().name);
  return names;
}

std::size_t ViewRows::place(std::string_view column) const {
  if (info == nullptr) return 0;
  const auto found = std::ranges::find(info->columns, column, &Column::name);
  return static_cast<std::size_t>(found - info->columns.begin());
}

void ViewCache::begin(std::span<const std::int64_t> pids) {
  pids_.assign(pids.begin(), pids.end());
  rows_.clear();
  pids_listed_.reset();
}

void ViewCache::put(std::string_view view, ViewRows rows) {
  rows.info = find_info(view);
  rows_.insert_or_assign(std::string(view), std::move(rows));
}

linux::ViewReader* ViewCache::reader(std::string_view view, std::string& why) {
  if (const auto known = readers_.find(view); known != readers_.end()) return known->second.get();
  if (const auto known = refused_.find(view); known != refused_.end()) {
    why = known->second;
    return nullptr;
  }
  const auto* found = linux::find_view(view);
  if (found == nullptr) {
    why = fmt::format("there is no view {}", view);
    return nullptr;
  }
  auto opened = found->open(kernel_);
  if (!opened) {
    why = opened.error().message;
    refused_.emplace(view, why);
    return nullptr;
  }
  return readers_.emplace(view, *std::move(opened)).first->second.get();
}

std::optional<std::string> ViewCache::refuses(std::string_view view) {
  if (view == kRequiredView || view == kFindingsView) return std::nullopt;
  std::string why;
  if (reader(view, why) != nullptr) return std::nullopt;
  return why;
}

const ViewRows& ViewCache::read(std::string_view view) {
  if (const auto known = rows_.find(view); known != rows_.end()) return known->second;
  ViewRows rows;
  rows.info = find_info(view);
  if (view == kRequiredView) {
    rows = required();
  } else if (rows.info != nullptr && view != kFindingsView) {
    std::string why;
    if (auto* from = reader(view, why)) {
      linux::Query query;
      query.pids = pids_;
      Collector sink(*rows.info, query, rows);
      auto tally = from->read(sink);
      if (!tally) {
        rows.complete = false;
        rows.notes.push_back(fmt::format("{} cannot be read: {}", view, tally.error().message));
      } else {
        rows.complete = rows.complete && !tally->truncated;
        if (tally->truncated)
          rows.notes.push_back(fmt::format("{}: a bound was met, there may be more", view));
        for (auto& warning : tally->warnings)
          rows.notes.push_back(fmt::format("{}: {}", view, warning));
      }
    } else {
      rows.complete = false;
    }
  }
  return rows_.emplace(view, std::move(rows)).first->second;
}

ViewRows ViewCache::required() {
  ViewRows rows;
  rows.info = &kRequired;
  if (required_.empty()) return rows;
  const auto& processes = read("processes");
  rows.complete = processes.complete;
  const auto name_at = processes.place("name"), pid_at = processes.place("pid"),
             state_at = processes.place("state"), threads_at = processes.place("threads");
  for (const auto& wanted : required_) {
    std::int64_t running = 0;
    linux::Value one;
    for (const auto& row : processes.rows) {
      const auto* name = std::get_if<std::string>(&row[name_at]);
      // comm is cut at 15 bytes.
      if (name == nullptr || *name != wanted.substr(0, 15) ||
          stands_still(row[state_at], row[threads_at]))
        continue;
      ++running;
      one = row[pid_at];
    }
    rows.rows.push_back({linux::Value(wanted), linux::Value(running), one});
    rows.doubtful.push_back(!processes.complete);
  }
  return rows;
}

bool ViewCache::listed(std::int64_t pid) {
  if (!pids_listed_) {
    pids_listed_.emplace();
    const auto& threads = read("threads");
    for (const auto column : {threads.place("tid"), threads.place("pid")})
      for (const auto& row : threads.rows)
        if (const auto* number = std::get_if<std::int64_t>(&row[column]))
          pids_listed_->push_back(*number);
    std::ranges::sort(*pids_listed_);
  }
  return std::ranges::binary_search(*pids_listed_, pid);
}

std::string ViewCache::process_name(std::int64_t pid) {
  const auto& processes = read("processes");
  const auto pid_at = processes.place("pid"), name_at = processes.place("name");
  for (const auto& row : processes.rows) {
    const auto* number = std::get_if<std::int64_t>(&row[pid_at]);
    const auto* name = std::get_if<std::string>(&row[name_at]);
    if (number != nullptr && name != nullptr && *number == pid) return *name;
  }
  return {};
}

std::string evidence_text(const linux::Value& value, ColumnType type) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* word = std::get_if<std::uint64_t>(&value)) {
    return type == ColumnType::address || type == ColumnType::mask ? fmt::format("{:#x}", *word)
                                                                   : fmt::format("{}", *word);
  }
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  std::string out;
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    for (const auto& item : *list) {
      if (!out.empty()) out += ", ";
      out += item;
    }
  }
  return out;
}

}  // namespace vitrine::symptom
