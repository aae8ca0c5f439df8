#include "cli/prompt.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/interrupt.h"
#include "cli/problem_printer.h"
#include "cli/script_guest.h"
#include "cli/script_output.h"
#include "cli/view_run.h"
#include "probe/run_session.h"
#include "vmipl/codes.h"
#include "vmipl/completion.h"
#include "vmipl/entry.h"
#include "vmipl/reference.h"
#include "vmipl/render.h"

namespace vitrine::cli {
namespace {

constexpr std::string_view kHelp =
    "an expression      prints its value:      u64(jiffies)\n"
    "a statement        runs once:             for (p in processes) if (p.uid == 0) "
    "Print(\"%s\\n\", p.name)\n"
    "a probe            runs until Ctrl-C:     Every(1s) { @[now] = count() }\n"
    "const, fn          are kept:              fn kib(x) = x / 1024\n"
    "a view's name      shows it:              sockets\n\n"
    ":probes [GLOB]     the probes and actions, or all about one\n"
    ":explain CODE      what a diagnostic means\n"
    ":list              what was declared\n"
    ":forget            forgets it\n"
    ":quit              leaves, as Ctrl-D does\n\n"
    "Tab completes; an open bracket goes on in the next line.\n";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

Prompt::Prompt(Context& context, Session& session, const Arguments& words,
               probe::SourceSettings settings)
    : context_(context),
      session_(session),
      words_(words),
      settings_(std::move(settings)),
      ports_(std::make_unique<probe::KernelPorts>(kernel())) {}

void Prompt::tell(const Problem& problem) {
  all_well_ = false;
  print(problem, context_.console);
}

bool Prompt::enter(const std::string& text) {
  const auto entry = trimmed(text);
  if (entry.empty()) return true;
  if (entry.front() == ':') return command(entry.substr(1));
  if (entry == "help" || entry == "?") return command("help");
  if (entry == "quit" || entry == "exit") return false;
  for (const auto* view : context_.world.views()) {
    if (view->info().name != entry) continue;
    const Arguments none;
    const auto planned = plan(view->info(), {}, none);
    if (!planned) {
      tell(planned.error());
      return true;
    }
    auto reader = session_.guest().open(*view);
    if (!reader) {
      tell(reader.error());
      return true;
    }
    const auto writer = writer_of(*planned, context_.console);
    WritingSink sink(view->info(), planned->query, planned->keys, *writer);
    const auto tally = (*reader)->read(sink);
    sink.finish();
    if (!tally)
      tell(tally.error());
    else
      (void)report(*tally, sink, context_.console);
    return true;
  }
  language(text);
  return true;
}

bool Prompt::command(std::string_view text) {
  auto& out = context_.console.out;
  const auto space = std::min(text.find(' '), text.size());
  const auto word = text.substr(0, space);
  const auto rest = trimmed(text.substr(space));
  if (word == "quit" || word == "q" || word == "exit") return false;
  if (word == "help" || word == "h") {
    out.write(kHelp);
  } else if (word == "explain") {
    if (const auto* code = vmipl::find_code(rest))
      out.write(vmipl::explain(*code));
    else
      tell({Errc::not_found, fmt::format("there is no diagnostic \"{}\"", rest), {}});
  } else if (word == "probes") {
    std::size_t found = 0;
    for (const auto& probe : vmipl::probes()) {
      if (!rest.empty() && !vmipl::glob_matches(rest, probe.name)) continue;
      ++found;
      if (probe.name == rest)
        out.write(vmipl::probe_page(probe));
      else
        out.write(fmt::format("{:<7} {:<46} {}\n", vmipl::name(probe.kind), vmipl::signature(probe),
                              probe.summary));
    }
    if (found == 0) tell({Errc::not_found, fmt::format("no probe is called \"{}\"", rest), {}});
  } else if (word == "list") {
    for (const auto& declaration : declarations_) out.write(declaration + "\n");
  } else if (word == "forget") {
    declarations_.clear();
  } else {
    tell({Errc::invalid, fmt::format("there is no command \":{}\"", word), ":help lists them"});
  }
  return true;
}

void Prompt::language(const std::string& text) {
  vmipl::CheckOptions options{.ports = ports_->ports(),
                              .judge_permissions = true,
                              .allow_writes = words_.has("--allow-writes"),
                              .allow_control = words_.has("--allow-control"),
                              .build = true};
  // What is declared again takes the place of what was.
  auto declarations = declarations_;
  if (const auto name = vmipl::declared_name(text); !name.empty())
    std::erase_if(declarations,
                  [&](const std::string& before) { return vmipl::declared_name(before) == name; });
  const vmipl::Entry entry(text, declarations, options);
  auto& console = context_.console;
  vmipl::RenderOptions rendering{.colour = console.err_colour};
  if (console.width > 48) rendering.width = console.width - 8;
  console.out.flush();
  console.err.write(vmipl::render_text(entry.source(), entry.diagnostics(), rendering));
  console.err.flush();
  if (entry.diagnostics().errors() > 0) {
    all_well_ = false;
    return;
  }
  if (entry.kind() == vmipl::Entry::declaration) {
    declarations_ = std::move(declarations);
    declarations_.push_back(text);
    return;
  }
  if (entry.checked().program) run(entry);
  if (text.starts_with("let "))
    console.remark("let ends with its entry; const NAME = VALUE is kept");
}

void Prompt::run(const vmipl::Entry& entry) {
  auto& console = context_.console;
  const InterruptGuard guard;
  probe::Outputs outputs(output_options(console, {}, false));
  probe::RunOptions options{.rules = text_rules(console),
                            .plan = {.prefer_polling = words_.has("--poll")}};
  const auto* const kernel_before = &kernel();
  ScriptGuest guest(context_, session_, words_, settings_, change_teller(outputs, console, false));
  probe::RunSession running(guest.host_guest(), guest.sources(), &guest.actions(), outputs,
                            std::move(options));
  if (auto begun = running.start(std::make_shared<vmipl::Program>(*entry.checked().program));
      !begun) {
    tell(begun.error());
    return;
  }
  outputs.flush();
  constexpr std::uint64_t kPause = 50'000'000;
  Outcome<bool> there = true;
  while (there && !entry.runs_once() && session_.machine().live() && !running.ended() &&
         !InterruptGuard::interrupted()) {
    running.wait(kPause);
    outputs.flush();
    there = guest.keep_up(running, entry.source());
    if (!running.kernel_gone() && !session_.machine().alive()) break;
  }
  running.stop();
  outputs.flush();
  if (!there) tell(there.error());
  if (&kernel() != kernel_before) ports_ = std::make_unique<probe::KernelPorts>(kernel());
  console.out.flush();
  ended_by_ = InterruptGuard::signal();
}

LineEditor::Completions Prompt::complete(std::string_view before_cursor) const {
  const auto word = vmipl::last_word(before_cursor);
  LineEditor::Completions found{word.size(), {}};
  if (before_cursor.starts_with(':')) {
    for (const std::string_view command : {"explain", "forget", "help", "list", "probes", "quit"}) {
      if (before_cursor.find(' ') == std::string_view::npos && command.starts_with(word))
        found.words.emplace_back(command);
    }
    if (!found.words.empty()) return found;
  }
  for (auto& completion : vmipl::completions(before_cursor, ports_->ports()))
    found.words.push_back(std::move(completion.text));
  // The kernel's symbols are many: where no word of the language fits, and once some letters say
  // which are meant.
  constexpr std::size_t kLetters = 3, kMost = 500;
  if (found.words.empty() && word.size() >= kLetters && word.find('.') == std::string_view::npos) {
    for (std::size_t i = 0; i < kernel().symbols().size() && found.words.size() < kMost; ++i) {
      const auto name = kernel().symbols().at(i).name;
      if (name.starts_with(word)) found.words.emplace_back(name);
    }
  }
  std::ranges::sort(found.words);
  const auto again = std::ranges::unique(found.words);
  found.words.erase(again.begin(), again.end());
  return found;
}

}  // namespace vitrine::cli
