// vitrine info: one machine and its kernel; how it was reached, and what is missing.
#include <fmt/core.h>

#include <algorithm>

#include "cli/cell.h"
#include "cli/commands/families.h"
#include "cli/help.h"
#include "cli/problem_printer.h"
#include "cli/session.h"
#include "cli/view_run.h"

namespace vitrine::cli {
namespace {

using linux::ColumnType;
using Verdict = linux::Health::Verdict;
using linux::Value;

/// What info prints, gathered first: the same for people and for programs.
struct Facts {
  struct Fact {
    std::string name;
    Value value;
    ColumnType type = ColumnType::text;
    bool detail = false;  ///< for programs alone
  };
  std::vector<Fact> facts;
  std::vector<linux::Health::Check> checks;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
};

class FactSink final : public linux::RowSink {
 public:
  FactSink(const linux::ViewInfo& info, const linux::Query& query, Facts& facts)
      : RowSink(info, query), info_(info), facts_(facts) {}

 protected:
  bool row(std::span<const Value> values, std::string_view doubt) override {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!wants(i)) continue;
      const auto& column = info_.columns[i];
      facts_.facts.push_back(
          {std::string(column.name), values[i], column.type, column.show != linux::Column::shown});
    }
    if (!doubt.empty()) facts_.warnings.emplace_back(doubt);
    return false;  // a kernel has one row
  }

 private:
  const linux::ViewInfo& info_;
  Facts& facts_;
};

void add_identity(const linux::Identity& kernel, Facts& facts) {
  const auto address = [](Gva at) { return Value(at.value); };
  facts.facts.insert(
      facts.facts.end(),
      {{"banner", kernel.banner},
       {"release", kernel.release},
       {"build_id", kernel.build_id.empty() ? Value() : Value(kernel.build_id)},
       {"text", address(kernel.text), ColumnType::address},
       {"slide", static_cast<std::uint64_t>(kernel.slide), ColumnType::address},
       {"text_physical", Value(kernel.text_physical.value), ColumnType::address},
       {"direct_map", address(kernel.direct_map), ColumnType::address},
       {"paging_levels", static_cast<std::int64_t>(kernel.levels), ColumnType::integer},
       {"kpti", kernel.page_table_isolation, ColumnType::boolean}});
}

/// The view "kernel" knows what moves: uptime, boot time, taint. Columns that the
/// identity has too are left out.
void add_view(Context& context, const Guest& guest, Facts& facts) {
  const auto view = find_view(context.world, "kernel");
  if (!view) return;
  const auto& info = (*view)->info();
  linux::Query query;
  for (const auto& column : info.columns) {
    bool known = false;
    for (const auto& fact : facts.facts) known = known || fact.name == column.name;
    query.wanted.push_back(!known && column.show != linux::Column::on_request);
  }
  auto reader = guest.open(**view);
  if (!reader) {
    facts.warnings.push_back(reader.error().message);
    return;
  }
  for (const auto& missing : (*reader)->missing_columns()) {
    bool asked = false;
    for (std::size_t i = 0; i < info.columns.size(); ++i)
      asked = asked || (query.wanted[i] && missing.about(info.columns[i].name));
    if (asked) facts.warnings.push_back(missing.words());
  }
  FactSink sink(info, query, facts);
  auto tally = (*reader)->read(sink);
  if (!tally) {
    facts.warnings.push_back(tally.error().message);
    return;
  }
  for (auto& warning : tally->warnings) facts.warnings.push_back(std::move(warning));
}

struct VerdictWords {
  std::string_view human, json;
};
constexpr VerdictWords words_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return {"ok", "true"};
    case Verdict::failed:
      return {"FAILED", "false"};
    case Verdict::not_known:
      break;
  }
  return {"not known", "null"};
}

void print_for_programs(const Facts& facts, Console& console) {
  std::string line = "{";
  std::string escaped;
  const auto key = [&](std::string_view name) {
    if (line.size() > 1) line += ',';
    append_json(line, name);
    line += ':';
  };
  const auto add = [&](const std::string& name, const Value& value, ColumnType type) {
    key(name);
    if (append_json(line, value, type)) return;
    escaped += escaped.empty() ? "" : ",";
    append_json(escaped, name);
  };
  for (const auto& fact : facts.facts) add(fact.name, fact.value, fact.type);
  key("self_test");
  line += '[';
  for (const auto& check : facts.checks) {
    if (&check != facts.checks.data()) line += ',';
    line += "{\"check\":";
    append_json(line, escape_invalid(check.name));
    line += fmt::format(",\"ok\":{},\"detail\":", words_of(check.verdict).json);
    append_json(line, escape_invalid(check.detail));
    line += '}';
  }
  line += ']';
  add("notes", facts.notes, ColumnType::list);
  add("warnings", facts.warnings, ColumnType::list);
  if (!escaped.empty()) {
    key("escaped");
    line += "[" + escaped + "]";
  }
  console.out.write(line + "}\n");
}

void print_for_people(const Facts& facts, Console& console) {
  std::size_t width = 0;
  for (const auto& fact : facts.facts)
    width = fact.detail ? width : std::max(width, fact.name.size());
  for (const auto& fact : facts.facts) {
    if (fact.detail) continue;
    auto name = fact.name;
    for (auto& c : name) c = c == '_' ? ' ' : c;
    auto value = human(fact.value, fact.type, console.charset);
    const auto indent = static_cast<unsigned>(width) + 2;
    if (console.width > indent + 20) value = hanging(value, console.width, indent);
    console.out.write(fmt::format("{:<{}}  {}\n", name, width, value));
  }
  const auto list = [&](std::string_view title, std::string_view mark,
                        const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    console.out.write(fmt::format("\n{}\n", console.bold(title)));
    for (const auto& text : lines) {
      console.out.write(fmt::format("  {} {}\n", mark, escape(text, console.charset)));
    }
  };
  list("how it was reached", "-", facts.notes);
  if (!facts.checks.empty()) {
    console.out.write(fmt::format("\n{}\n", console.bold("self-test")));
    std::size_t most = 0;
    for (const auto& check : facts.checks)
      most = std::max(most, words_of(check.verdict).human.size());
    for (const auto& check : facts.checks) {
      console.out.write(fmt::format("  {:<{}}  {}: {}\n", words_of(check.verdict).human, most,
                                    check.name, escape(check.detail, console.charset)));
    }
  }
  list("what is missing or doubtful", "!", facts.warnings);
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto machine = TRY(open_machine(context, words));
  Facts facts;
  std::uint64_t ram = machine->memory().size_bytes();
  facts.facts = {{"machine", std::string(machine->name())},
                 {"live", machine->live(), ColumnType::boolean},
                 {"ram", static_cast<std::int64_t>(ram), ColumnType::size}};
  facts.notes = machine->notes();
  facts.warnings = machine->warnings();

  auto guest = context.world.attach(*machine, !words.has("--no-cache"));
  auto status = Status::done;
  if (guest) {
    add_identity((*guest)->identity(), facts);
    add_view(context, **guest, facts);
    const auto& health = (*guest)->health();
    facts.checks = health.checks;
    facts.notes.insert(facts.notes.end(), health.notes.begin(), health.notes.end());
    facts.warnings.insert(facts.warnings.end(), health.warnings.begin(), health.warnings.end());
    if (!health.ok()) status = Status::doubtful;
  }
  words.has("--json") ? print_for_programs(facts, context.console)
                      : print_for_people(facts, context.console);
  if (!guest) return std::unexpected(std::move(guest).error());
  return status;
}

}  // namespace

Command info_command() {
  return {.name = "info",
          .group = "Machines",
          .summary = "a machine and its kernel: how reached, what is missing",
          .operands = {{"VM", Words::machine}},
          .options = {{"--json", "", "one JSON object"},
                      {"--no-cache", "", "recover the kernel's symbols and types anew"}},
          .description =
              "Says how the machine's RAM was reached, which kernel was found in it, whether the "
              "self-test of the attach went well, and what is missing. Run it first when "
              "something looks odd.",
          .examples = {"vitrine info web1", "vitrine info memory.lime --json"},
          .run = run};
}

}  // namespace vitrine::cli
