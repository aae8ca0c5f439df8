// vitrine probes: the language's probes, data probes, streams and actions, from its catalogue.
#include <fmt/format.h>

#include "cli/commands/families.h"
#include "cli/fixed_view.h"
#include "cli/nearest.h"
#include "vmipl/reference.h"

namespace vitrine::cli {
namespace {

using linux::Column;
using linux::ColumnType;

constexpr Column kColumns[] = {
    {"kind", ColumnType::text, "event, filter, data, stream or action"},
    {"name", ColumnType::text, "its name", Column::hidden},
    {"written", ColumnType::text, "how it is written"},
    {"summary", ColumnType::text, "when it fires, or what it does"},
    {"level", ColumnType::text, "classic or extended", Column::hidden},
    {"carries", ColumnType::text, "what a block can look at", Column::hidden},
    {"permission", ColumnType::text, "the option that a script with it needs", Column::hidden},
};
constexpr linux::ViewInfo kProbes = {"probes", "the probes of VMI-PL", kColumns, "by kind", "name"};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto glob = words.operands.empty() ? std::string("*") : words.operands.front();
  std::vector<const vmipl::ProbeInfo*> found;
  std::vector<std::string_view> names;
  for (const auto& probe : vmipl::probes()) {
    names.push_back(probe.name);
    if (vmipl::glob_matches(lower(glob), lower(probe.name))) found.push_back(&probe);
  }
  if (found.empty()) {
    auto message = fmt::format("no probe is called \"{}\"", glob);
    if (const auto guess = did_you_mean(glob, names); !guess.empty()) message += "; " + guess;
    return std::unexpected(
        Problem(Errc::invalid, std::move(message), "all of them: vitrine probes"));
  }
  const bool machine_readable = words.has("--json") || words.has("--csv");
  if (found.size() == 1 && !words.operands.empty() && !machine_readable &&
      !words.has("--columns")) {
    context.console.out.write(vmipl::probe_page(*found.front()));
    return Status::done;
  }
  return run_fixed_view(kProbes, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto* probe : found) {
      rows.begin();
      rows.set(0, std::string(vmipl::name(probe->kind)));
      rows.set(1, std::string(probe->name));
      rows.set(2, vmipl::signature(*probe));
      rows.set(3, std::string(probe->summary));
      rows.set(4, std::string(probe->classic ? "classic" : "extended"));
      rows.set(5, vmipl::carried(*probe));
      rows.set(6, std::string(vmipl::permission(*probe)));
      if (!rows.end()) break;
    }
    return {};
  });
}

}  // namespace

Command probes_command() {
  return {.name = "probes",
          .group = "Language",
          .summary = "the probes and actions of the language",
          .operands = {{.name = "GLOB", .words = Words::probe, .optional = true}},
          .options = fixed_view_options(),
          .description =
              "GLOB is a name, or a pattern of * and ?; upper and lower case are the same. Of one "
              "probe, everything is told: its arguments and the fields of event.",
          .examples = {"vitrine probes", "vitrine probes '*write*'", "vitrine probes WriteAt"},
          .run = run};
}

}  // namespace vitrine::cli
