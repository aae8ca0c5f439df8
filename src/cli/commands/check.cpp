// vitrine check: what is wrong with a script, before it is ever started.
#include "vmipl/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cli/commands/families.h"
#include "cli/event_sources.h"
#include "cli/kernel_choice.h"
#include "cli/plan_table.h"
#include "cli/problem_printer.h"
#include "cli/script_text.h"
#include "probe/actions/machine_actions.h"
#include "probe/run_session.h"
#include "symptom/view_cache.h"
#include "vmipl/parser.h"
#include "vmipl/reference.h"
#include "vmipl/render.h"

namespace vitrine::cli {
namespace {

struct Judged {
  std::size_t errors = 0, warnings = 0;
  bool refused = false;  ///< a probe cannot be had on this machine
};

/// What `run` would do with a program on this machine: the very same plan. Nothing is started.
class Planning {
 public:
  Planning(Context& context, const Session& session, const linux::Kernel& kernel,
           const Arguments& words, const probe::SourceSettings& settings)
      : sources_(event_sources(context, session, words, settings)),
        outputs_({.standard = [](std::string_view) { return true; },
                  .flush = {},
                  .remark = [](std::string_view) {},
                  .channel_files = {},
                  .json = false}),
        actions_(session.machine(), kernel, {}),
        session_(probe::host_guest(session.machine(), kernel), sources_.ladder(), &actions_,
                 outputs_, {.plan = {.prefer_polling = words.has("--poll")}}) {}

  [[nodiscard]] probe::Plan plan(const vmipl::Program& program) const {
    return session_.plan(program);
  }
  /// What of its actions could not be had, whatever permissions are given.
  [[nodiscard]] Outcome<void> can_act(const vmipl::Program& program) const {
    return session_.judge_sites(program, false);
  }
  [[nodiscard]] std::vector<probe::EventSource*> ladder() const { return sources_.ladder(); }

 private:
  EventSources sources_;
  probe::Outputs outputs_;
  probe::MachineActions actions_;
  probe::RunSession session_;
};

std::string count(std::size_t number, std::string_view word) {
  return fmt::format("{} {}{}", number, word, number == 1 ? "" : "s");
}

/// What only a kernel can tell: symbols taken on trust.
std::set<std::string> assumed(const vmipl::Checked& checked) {
  std::set<std::string> names;
  for (const auto& probe : checked.probes)
    names.insert(probe.unchecked.begin(), probe.unchecked.end());
  return names;
}

/// The options that the script has to be started with.
std::set<std::string_view> permissions(const vmipl::Checked& checked) {
  std::set<std::string_view> options;
  for (const auto& probe : checked.probes) {
    if ((probe.needs & vmipl::Needs::writes) != 0) options.insert("--allow-writes");
    if ((probe.needs & vmipl::Needs::control) != 0) options.insert("--allow-control");
  }
  return options;
}

/// The line for a script without an error.
std::string verdict(const vmipl::Source& source, const vmipl::Checked& checked,
                    const KernelChoice& kernel, const Console& console) {
  auto text = fmt::format("{}: {}", escape(source.name(), console.charset),
                          count(checked.probes.size(), "probe"));
  text += kernel.release().empty()
              ? ", sound as far as can be known without a kernel"
              : fmt::format(", sound on Linux {}", escape(kernel.release(), console.charset));
  if (const auto options = permissions(checked); !options.empty())
    text += fmt::format("; needs {}", fmt::join(options, " and "));
  text += '\n';
  if (!kernel.release().empty()) return text;
  const auto names = assumed(checked);
  if (!names.empty()) {
    constexpr std::size_t kShown = 6;
    std::vector<std::string> shown(
        names.begin(),
        std::next(names.begin(), static_cast<std::ptrdiff_t>(std::min(names.size(), kShown))));
    text += fmt::format("  taken for symbols of the kernel: {}{}\n", fmt::join(shown, ", "),
                        names.size() > kShown ? " ..." : "");
  }
  if (!checked.program && names.empty()) text += "  it uses the kernel's own types\n";
  if (!checked.program || !names.empty()) text += "  to be sure: --vm VM or --kernel FILE\n";
  return text;
}

bool has_symptoms(const vmipl::Source& source) {
  vmipl::Diagnostics later;
  const auto parsed = vmipl::parse(source, later);
  return std::ranges::any_of(parsed.script.top, [&](vmipl::ItemId id) {
    return parsed.script.at(id).kind == vmipl::Item::Kind::symptom;
  });
}

Judged check_one(Context& context, const Arguments& words, const KernelChoice& kernel,
                 const Planning* planning, const vmipl::Source& source) {
  auto& console = context.console;
  vmipl::CheckOptions options{.ports = kernel.ports()};
  if (const auto allowed = words.options.find("--allow"); allowed != words.options.end())
    options.allow = allowed->second;
  // A pack of symptoms has a view more than a script: what must run.
  const symptom::RuleViews rule_views(*options.ports.views);
  if (has_symptoms(source)) options.ports.views = &rule_views;
  vmipl::Diagnostics diagnostics;
  const auto checked = vmipl::check(source, options, diagnostics);
  if (words.has("--json")) {
    console.out.write(vmipl::render_json(source, diagnostics));
  } else {
    vmipl::RenderOptions rendering{.colour = console.colour};
    if (console.width > 48) rendering.width = console.width - 8;
    console.out.write(vmipl::render_text(source, diagnostics, rendering));
    if (diagnostics.errors() == 0) console.out.write(verdict(source, checked, kernel, console));
    if (words.has("--program") && checked.program) console.out.write(vmipl::list(*checked.program));
  }
  Judged judged{diagnostics.errors(), diagnostics.warnings()};
  if (planning == nullptr || !checked.program) return judged;
  const auto plan = planning->plan(*checked.program);
  judged.refused = !plan.complete();
  if (words.has("--json")) {
    const auto ladder = planning->ladder();
    console.out.write(plan_json(plan, source.name(), ladder));
  } else {
    console.out.write(plan_table(plan, console));
  }
  if (auto able = planning->can_act(*checked.program); !able) {
    judged.refused = true;
    const auto& message = able.error().message;
    const auto& hint = able.error().hint;
    if (words.has("--json"))
      console.out.write(
          fmt::format("{{\"type\":\"refused\",\"file\":{},\"message\":{},\"hint\":{}}}\n",
                      vmipl::json_string(source.name()), vmipl::json_string(message),
                      vmipl::json_string(hint)));
    else
      console.out.write(fmt::format("{}\n  {}\n", message, hint));
  }
  return judged;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto programs = words.options.find("-e");
  if (words.operands.empty() && programs == words.options.end()) {
    return std::unexpected(Problem(Errc::invalid, "check wants a SCRIPT, or -e 'PROGRAM'",
                                   "- is standard input\nmore: vitrine help check"));
  }
  const auto settings = TRY(source_settings(words));
  const auto kernel = TRY(KernelChoice::open(context, words));
  std::optional<Planning> planning;
  if (kernel.session() != nullptr && kernel.session()->guest().kernel() != nullptr) {
    auto named = words;
    named.machine = words.value("--vm");
    planning.emplace(context, *kernel.session(), *kernel.session()->guest().kernel(), named,
                     settings);
  }
  Judged all;
  const auto judge = [&](const vmipl::Source& source) {
    const auto one = check_one(context, words, kernel, planning ? &*planning : nullptr, source);
    all.errors += one.errors;
    all.warnings += one.warnings;
    all.refused = all.refused || one.refused;
  };
  if (programs != words.options.end()) {
    for (const auto& program : programs->second) judge(vmipl::Source("<-e>", program));
  }
  bool unread = false;
  for (const auto& path : words.operands) {
    if (const auto source = read_script(path)) {
      judge(*source);
    } else {
      print(source.error(), context.console);  // the others are judged all the same
      unread = true;
    }
  }
  const bool failed =
      unread || all.errors > 0 || all.refused || (words.has("--strict") && all.warnings > 0);
  return failed ? Status::failed : Status::done;
}

}  // namespace

Command check_command() {
  std::vector<Option> options{{"-e", "PROGRAM", "check this text instead of a file"}};
  for (auto& option : kernel_options()) options.push_back(option);
  for (auto& option : source_options()) options.push_back(option);
  options.push_back({"--json", "", "one JSON object a diagnostic or planned probe"});
  options.push_back({"--allow", "WARNING", "do not tell warnings of this name", Words::warning});
  options.push_back({"--strict", "", "fail on warnings too"});
  options.push_back({"--program", "", "list the program the script becomes"});
  return {
      .name = "check",
      .group = "Language",
      .summary = "tell what is wrong with a script",
      .operands = {{.name = "SCRIPT", .words = Words::path, .optional = true, .repeated = true}},
      .options = std::move(options),
      .description =
          "Tells every mistake with its line, what was expected and what was probably meant; "
          "nothing is started. Without a machine, names that are nothing else are taken for "
          "symbols of the kernel, and its types are not looked into.\n"
          "With --vm the plan follows, as run would carry it out: for each probe the source of its "
          "events, what it costs the guest, how it is done and why this way, or why it cannot be "
          "had and what would make it possible.\n"
          "Exit status: 0, sound (there may be warnings); 1, mistakes, or (--strict) warnings, or "
          "a probe that this machine cannot have, or a file that could not be read; 2, the "
          "command line was wrong.",
      .examples = {"vitrine check trace.vmi",
                   "vitrine check -e 'Syscall(openat) { @opens[process.name] = count() }'",
                   "vitrine check --vm web1 trace.vmi",
                   "vitrine check --kernel web1.kernel rules/*.vmi"},
      .run = run};
}

}  // namespace vitrine::cli
