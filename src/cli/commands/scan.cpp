// vitrine scan: look for symptoms of an attack, once or again and again.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

#include "cli/commands/families.h"
#include "cli/interrupt.h"
#include "cli/session.h"
#include "cli/table.h"
#include "linux/kernel.h"
#include "symptom/engine.h"
#include "symptom/json_text.h"

namespace vitrine::cli {
namespace {

using symptom::Engine;
using symptom::Finding;

/// A scan that found something ends with this; the others are the program's own.
constexpr auto kFound = static_cast<Status>(4);

struct Settings {
  symptom::EngineOptions engine;
  symptom::Pack pack;
  bool json = false, watch = false;
  std::chrono::seconds length{0};  ///< of a watch; 0: until stopped
};

std::vector<std::string> values(const Arguments& words, std::string_view option) {
  const auto found = words.options.find(option);
  return found == words.options.end() ? std::vector<std::string>{} : found->second;
}

Outcome<Settings> settings_of(const Arguments& words) {
  Settings settings;
  settings.json = words.has("--json");
  settings.watch = words.has("--watch");
  if (const auto text = words.value("--for")) {
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
    if (error != std::errc() || end != text->data() + text->size() || seconds < 1)
      return std::unexpected(
          Problem(Errc::invalid, fmt::format("--for: \"{}\" is no number of seconds", *text)));
    settings.length = std::chrono::seconds(seconds);
    settings.watch = true;
  }
  settings.engine.allow = values(words, "--allow");
  settings.engine.patterns = !words.has("--no-patterns");
  std::vector<std::string> folders;
  if (!words.has("--no-default-rules")) {
    const auto own = symptom::default_rules_folder();
    if (own.empty())
      return std::unexpected(
          Problem(Errc::not_found, "the pack of rules is nowhere",
                  "VITRINE_RULES names its folder; --no-default-rules does without"));
    folders.push_back(own);
  }
  // A path that leads nowhere is a slip of the fingers, and what was meant would go unlooked for.
  auto given = values(words, "--rules");
  if (const auto own = symptom::Pack::load(given); !own.problems().empty())
    return std::unexpected(own.problems().front());
  for (auto& folder : given) folders.push_back(std::move(folder));
  settings.pack = symptom::Pack::load(folders);
  for (const auto& name : values(words, "--require")) settings.pack.require(name);
  return settings;
}

void tell(Context& context, const Finding& finding, std::string_view state,
          const Settings& settings) {
  auto& console = context.console;
  if (settings.json) {
    auto line = symptom::to_json(finding);
    // What became of it comes first, so that a reader need not look for it.
    line.insert(1, fmt::format("\"type\":\"finding\",\"state\":\"{}\",", state));
    console.out.write(line + "\n");
    console.out.flush();
    return;
  }
  const auto plain = [&](std::string_view text) { return escape(text, console.charset); };
  std::string text = state == "gone" ? fmt::format("gone: {}", plain(finding.symptom))
                                     : fmt::format("{}: {}", symptom::name(finding.severity),
                                                   plain(finding.symptom));
  if (!finding.technique.empty()) text += fmt::format(" ({})", plain(finding.technique));
  console.out.write(console.bold(text) + "\n");
  console.out.write(fmt::format("  {}\n", plain(finding.message)));
  if (state == "gone") return;
  console.out.write(console.dim(fmt::format("  {}", plain(finding.summary))) + "\n");
  for (const auto& [column, value] : finding.evidence) {
    if (!value.empty())
      console.out.write(console.dim(fmt::format("    {:<14} {}", plain(column), plain(value))) +
                        "\n");
  }
  console.out.flush();
}

/// What the pack is, and what of it cannot be looked for here.
void tell_symptoms(Context& context, const Engine& engine, const Settings& settings) {
  auto& console = context.console;
  if (settings.json) {
    for (const auto& one : engine.symptoms()) {
      std::string line = "{\"type\":\"symptom\",\"symptom\":";
      const auto text = [&](std::string_view key, std::string_view value) {
        if (!key.empty()) line += fmt::format(",\"{}\":", key);
        (void)symptom::append_json_text(line, value);
      };
      text("", one.name);
      text("severity", symptom::name(one.severity));
      text("technique", one.technique);
      text("summary", one.summary);
      text("rule", one.rule);
      line += fmt::format(",\"runs\":{}", one.runs);
      text("why", one.why);
      console.out.write(line + "}\n");
    }
    return;
  }
  Table table({{.header = "SYMPTOM"},
               {.header = "SEVERITY"},
               {.header = "TECHNIQUE"},
               {.header = "RULE"},
               {.header = "WHAT", .flexible = true}},
              console, {});
  for (const auto& one : engine.symptoms()) {
    const auto plain = [&](std::string_view text) { return escape(text, console.charset); };
    table.row({plain(one.name), std::string(symptom::name(one.severity)), plain(one.technique),
               plain(one.rule),
               one.runs ? plain(one.summary) : "not looked for: " + plain(one.why)});
  }
  table.finish();
}

Outcome<Status> run(Context& context, const Arguments& words) {
  auto settings = TRY(settings_of(words));
  const auto session = TRY(Session::open(context, words));
  const auto* kernel = session.guest().kernel();
  if (kernel == nullptr)
    return std::unexpected(Problem(Errc::unsupported, "this machine has no kernel to look at"));
  auto engine = TRY(Engine::create(*kernel, settings.pack, settings.engine));
  bool sure = session.status() == Status::done;
  for (const auto& problem : engine->problems()) {
    context.console.err.write(problem.ends_with('\n') ? problem : problem + "\n");
    sure = false;
  }
  if (words.has("--list")) {
    tell_symptoms(context, *engine, settings);
    return sure ? Status::done : Status::doubtful;
  }
  const InterruptGuard guard;
  const auto start = std::chrono::steady_clock::now();
  std::size_t found = 0;
  std::vector<std::string> said;
  for (bool first = true;; first = false) {
    if (!first) {
      session.guest().refresh();
      TRY(session.still_there());
    }
    const auto report = engine->pass({.all = first, .pids = {}});
    TRY(session.still_there());
    for (const auto& note : report.notes) {
      if (std::ranges::find(said, note) != said.end()) continue;
      context.console.remark(note);
      said.push_back(note);
      sure = false;
    }
    for (const auto& finding : report.fresh) tell(context, finding, "fresh", settings);
    for (const auto& finding : report.gone) tell(context, finding, "gone", settings);
    found += report.fresh.size();
    if (first && !settings.json) {
      std::size_t looked_for = 0, not_here = 0;
      for (const auto& one : engine->symptoms()) ++(one.runs ? looked_for : not_here);
      context.console.remark(fmt::format(
          "{} of {} symptoms looked for in {} ms, {} finding{}{}", looked_for,
          looked_for + not_here,
          std::chrono::duration_cast<std::chrono::milliseconds>(report.took).count(), report.known,
          report.known == 1 ? "" : "s",
          report.allowed == 0 ? std::string() : fmt::format(", {} allowed", report.allowed)));
    }
    if (!settings.watch || InterruptGuard::interrupted()) break;
    if (settings.length.count() != 0 && std::chrono::steady_clock::now() - start >= settings.length)
      break;
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(
        std::max<std::chrono::nanoseconds>(engine->next_due(), std::chrono::milliseconds(10)),
        std::chrono::milliseconds(200)));
    if (InterruptGuard::interrupted()) break;
  }
  if (found > 0) return kFound;
  return sure ? Status::done : Status::doubtful;
}

}  // namespace

Command scan_command() {
  return {
      .name = "scan",
      .group = "Guard",
      .summary = "look for symptoms of an attack",
      .operands = {{"VM", Words::machine}},
      .options = {{"--rules", "PATH",
                   "a folder of rules, or a file, beside the pack that comes with Vitrine; may be "
                   "repeated",
                   Words::path},
                  {"--no-default-rules", "", "without the pack that comes with Vitrine"},
                  {"--require", "NAME", "a process of this name must run; may be repeated",
                   Words::text},
                  {"--allow", "PREDICATE", "drop findings of which this holds; may be repeated",
                   Words::text},
                  {"--watch", "",
                   "go on looking, each symptom at its own pace, and tell what is gone"},
                  {"--for", "SECONDS", "watch for so long", Words::number},
                  {"--list", "", "the symptoms of the pack, and which cannot be looked for here"},
                  {"--json", "", "one JSON object a finding (docs/output.md)"},
                  {"--no-patterns", "", "without the YARA rules"},
                  {"--no-cache", "", "recover the kernel's symbols and types anew"}},
      .description =
          "Looks for every symptom of the pack, once: at a machine that runs, which is neither "
          "stopped nor "
          "written to, or at an image. Findings carry the row that shows them, as `vitrine show` "
          "prints it.\n"
          "An allow-list is a predicate over a finding, written in the language: "
          "finding.symptom == \"reverse_shell\" && finding.process == \"socat\".\n"
          "Exit status: 0, nothing was found and everything was looked for; 4, findings; 3, none, "
          "but not "
          "everything could be looked for (standard error says what); 1, the machine could not be "
          "read; 2, the "
          "command line was wrong.",
      .examples = {"vitrine scan web1", "vitrine scan memory.lime --json",
                   "vitrine scan web1 --watch --require sshd",
                   "vitrine scan web1 --allow 'finding.process == \"java\"'"},
      .run = run};
}

}  // namespace vitrine::cli
