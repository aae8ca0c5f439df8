// vitrine explain: what a diagnostic of the language means, at length.
#include <fmt/core.h>

#include "cli/commands/families.h"
#include "cli/fixed_view.h"
#include "cli/nearest.h"
#include "vmipl/codes.h"

namespace vitrine::cli {
namespace {

using linux::Column;
using linux::ColumnType;

constexpr Column kColumns[] = {
    {"code", ColumnType::text, "as diagnostics show it"},
    {"name", ColumnType::text, "by which a warning is silenced"},
    {"title", ColumnType::text, "what it says"},
};
constexpr linux::ViewInfo kCodes = {"codes", "the diagnostics of VMI-PL", kColumns, "by code",
                                    "code"};

Outcome<Status> list(Context& context, const Arguments& words) {
  return run_fixed_view(kCodes, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto& code : vmipl::all_codes()) {
      rows.begin();
      rows.set(0, std::string(code.code));
      rows.set(1, std::string(code.name));
      rows.set(2, std::string(code.title));
      if (!rows.end()) break;
    }
    return {};
  });
}

Outcome<Status> run(Context& context, const Arguments& words) {
  if (words.operands.empty()) return list(context, words);
  const auto& word = words.operands.front();
  const auto* code = vmipl::find_code(word);
  if (code == nullptr) {
    std::vector<std::string_view> names;
    for (const auto& known : vmipl::all_codes()) {
      names.push_back(known.code);
      names.push_back(known.name);
    }
    auto message = fmt::format("there is no diagnostic \"{}\"", word);
    if (const auto guess = did_you_mean(word, names); !guess.empty()) message += "; " + guess;
    return std::unexpected(
        Problem(Errc::invalid, std::move(message), "all of them: vitrine explain"));
  }
  context.console.out.write(vmipl::explain(*code));
  return Status::done;
}

}  // namespace

Command explain_command() {
  return {
      .name = "explain",
      .group = "Language",
      .summary = "what a diagnostic of the language means",
      .operands = {{.name = "CODE", .words = Words::code, .optional = true}},
      .options = fixed_view_options(),
      .description =
          "CODE is what a diagnostic shows (E050) or its name (unknown-probe). Without one, all "
          "are listed. docs/errors.md holds the same.",
      .examples = {"vitrine explain E050", "vitrine explain shadowing"},
      .run = run};
}

}  // namespace vitrine::cli
