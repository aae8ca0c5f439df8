// vitrine run: runs a script on a machine, until it ends.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <future>
#include <mutex>

#include "cli/commands/families.h"
#include "cli/escape.h"
#include "cli/interrupt.h"
#include "cli/quantities.h"
#include "cli/running_scripts.h"
#include "cli/script_guest.h"
#include "cli/script_output.h"
#include "cli/script_text.h"
#include "cli/session.h"
#include "probe/control_socket.h"
#include "probe/run_session.h"
#include "vmipl/check.h"
#include "vmipl/render.h"

namespace vitrine::cli {
namespace {

using Clock = std::chrono::steady_clock;

Problem misuse(std::string message, std::string hint) {
  return {Errc::invalid, std::move(message), std::move(hint)};
}

struct Wanted {
  vmipl::Source source;
  std::optional<std::chrono::nanoseconds> duration;
  std::map<std::string, std::string> channels;
  probe::SourceSettings sources;
};

/// The words, understood; a machine alone after -e is no script.
Outcome<Wanted> understand(Arguments& words) {
  const auto programs = words.options.find("-e");
  std::optional<vmipl::Source> source;
  if (programs != words.options.end()) {
    if (words.machine && !words.operands.empty())
      return std::unexpected(misuse("a SCRIPT and -e exclude each other", "one script is run"));
    if (!words.machine && !words.operands.empty()) {
      words.machine = words.operands.front();
      words.operands.clear();
    }
    std::string text;
    for (const auto& program : programs->second) text += program + "\n";
    source.emplace("<-e>", std::move(text));
  } else {
    if (words.operands.empty())
      return std::unexpected(misuse("run wants a SCRIPT, or -e 'PROGRAM'",
                                    "- is standard input\nmore: vitrine help run"));
    auto read = read_script(words.operands.front());
    if (!read && read.error().code == Errc::not_found) {
      // "run VM SCRIPT", "run VM".
      const bool swapped = words.machine && ::access(words.machine->c_str(), R_OK) == 0;
      read.error().hint = swapped ? fmt::format("the script comes first: vitrine run {} {}",
                                                *words.machine, words.operands.front())
                                  : "run wants a SCRIPT and then a VM, or -e 'PROGRAM' and a VM";
    }
    source = TRY(std::move(read));
  }
  Wanted wanted{.source = std::move(*source), .sources = TRY(source_settings(words))};
  if (const auto text = words.value("--duration"))
    wanted.duration = TRY(parse_duration("--duration", *text));
  if (const auto given = words.options.find("--channel"); given != words.options.end()) {
    for (const auto& word : given->second) {
      const auto equals = word.find('=');
      const auto name =
          word.substr(word.starts_with('#') ? 1 : 0, equals - (word.starts_with('#') ? 1 : 0));
      if (equals == std::string::npos || name.empty() || equals + 1 == word.size()) {
        return std::unexpected(misuse(fmt::format("--channel: \"{}\" is not NAME=FILE", word),
                                      "for example: --channel exec=/tmp/exec.txt"));
      }
      wanted.channels[name] = word.substr(equals + 1);
    }
  }
  return wanted;
}

std::string rendered(const vmipl::Source& source, const vmipl::Diagnostics& diagnostics,
                     const Console& console) {
  vmipl::RenderOptions rendering{.colour = console.err_colour};
  if (console.width > 48) rendering.width = console.width - 8;
  return vmipl::render_text(source, diagnostics, rendering);
}

/// Questions that the socket's thread hands to the main one.
struct Replacements {
  struct Job {
    std::string name, text;
    std::promise<std::string> answer;
  };
  std::mutex mutex;
  std::vector<std::unique_ptr<Job>> jobs;
  bool closed = false;

  std::string ask(std::string name, std::string text) {
    std::future<std::string> answer;
    {
      const std::lock_guard lock(mutex);
      if (closed) return bad_answer({Errc::vanished, "the script ends", {}});
      auto job =
          std::make_unique<Job>(std::move(name), std::move(text), std::promise<std::string>());
      answer = job->answer.get_future();
      jobs.push_back(std::move(job));
    }
    return answer.get();
  }
  std::vector<std::unique_ptr<Job>> take(bool last = false) {
    const std::lock_guard lock(mutex);
    closed = closed || last;
    return std::exchange(jobs, {});
  }
};

/// What belongs to the run that goes on, and cannot be had from here.
Outcome<void> judge_replace(const Arguments& words) {
  for (const auto* option : {"--json", "--duration", "--channel", "--allow-writes",
                             "--allow-control", "--poll", "--poll-period", "--rate-limit"}) {
    if (words.has(option))
      return std::unexpected(misuse(fmt::format("{} does nothing with --replace", option),
                                    "the run that goes on keeps what it was started with"));
  }
  return {};
}

/// Every channel that was given a file is one of the script's.
Outcome<void> judge_channels(const vmipl::Program& program, const Wanted& wanted) {
  for (const auto& [name, file] : wanted.channels) {
    std::string others;
    bool found = false;
    for (const auto& output : program.outputs) {
      if (!output.channel) continue;
      found = found || output.name == name;
      others += fmt::format("{}#{}", others.empty() ? "" : ", ", output.name);
    }
    if (found) continue;
    return std::unexpected(
        misuse(fmt::format("--channel: the script has no channel #{}", name),
               others.empty() ? std::string("it has none") : fmt::format("it has {}", others)));
  }
  return {};
}

Outcome<Status> replace_running(Context& context, const Arguments& words, const Wanted& wanted) {
  const auto machine = TRY(open_machine(context, words));
  const auto scripts = running_scripts(machine->name());
  if (scripts.empty())
    return std::unexpected(Problem(Errc::not_found,
                                   fmt::format("no script of yours runs on {}", machine->name()),
                                   "without --replace it is started"));
  if (scripts.size() > 1) {
    std::string list;
    for (const auto& script : scripts)
      list += fmt::format("{}{} (pid {})", list.empty() ? "" : ", ",
                          escape(script.script, context.console.charset), script.pid);
    return std::unexpected(
        Problem(Errc::invalid,
                fmt::format("which script? {} run on {}", scripts.size(), machine->name()), list));
  }
  TRY(replace_script(scripts.front(), wanted.source.name(), wanted.source.text()));
  context.console.remark(fmt::format(
      "{} runs in the place of {} (pid {})", escape(wanted.source.name(), context.console.charset),
      escape(scripts.front().script, context.console.charset), scripts.front().pid));
  return Status::done;
}

/// Every change of the guest, and every file made of it, with its time: records of their own kind.
Outcome<Status> run(Context& context, const Arguments& given) {
  auto words = given;
  const auto wanted = TRY(understand(words));
  auto& console = context.console;
  if (words.has("--replace")) {
    TRY(judge_replace(words));
    return replace_running(context, words, wanted);
  }

  // What is wrong in itself is told before any machine is touched.
  {
    const probe::LinuxViews views(context.world.views());
    vmipl::Diagnostics diagnostics;
    auto options = check_options(words, {nullptr, nullptr, &views});
    options.build = false;
    (void)vmipl::check(wanted.source, options, diagnostics);
    if (diagnostics.errors() != 0) {
      console.err.write(rendered(wanted.source, diagnostics, console));
      return Status::failed;
    }
  }
  auto session = TRY(Session::open(context, words));
  const auto* kernel = session.guest().kernel();
  if (kernel == nullptr)
    return std::unexpected(Problem(Errc::unsupported, "this machine's kernel runs no scripts"));
  const bool json = words.has("--json");
  probe::Outputs outputs(output_options(console, wanted.channels, json));
  // What the script does to the guest is told as it happens.
  ScriptGuest guest(context, session, words, wanted.sources, change_teller(outputs, console, json));
  vmipl::Diagnostics diagnostics;
  auto program = guest.build(wanted.source, diagnostics);
  console.err.write(rendered(wanted.source, diagnostics, console));
  if (!program) return Status::failed;
  TRY(judge_channels(*program, wanted));

  probe::RunOptions options{
      .rules = text_rules(console), .json = json, .plan = {.prefer_polling = words.has("--poll")}};
  probe::RunSession running(guest.host_guest(), guest.sources(), &guest.actions(), outputs,
                            std::move(options));

  // From here on an interrupt ends the script as it would end by itself.
  const InterruptGuard guard;
  Replacements replacements;
  vmipl::Source source = wanted.source;  // of the script that runs
  std::string name = source.name();
  std::mutex name_mutex;
  std::unique_ptr<probe::ControlSocket> socket;
  if (session.machine().live()) {
    auto opened = probe::ControlSocket::open([&](const std::vector<std::string>& question,
                                                 std::string_view body) {
      if (question.size() == 1 && question[0] == "who") {
        const std::lock_guard lock(name_mutex);
        return who_answer({.pid = getpid(),
                           .machine = std::string(session.machine().name()),
                           .script = name,
                           .requests = running.requests()});
      }
      if (question.size() == 2 && question[0] == "request") {
        std::uint64_t number = 0;
        (void)std::from_chars(question[1].data(), question[1].data() + question[1].size(), number);
        return good_answer(running.request(number));
      }
      if (question.size() == 2 && question[0] == "replace") {
        const auto end = body.find('\n');
        if (end == std::string_view::npos) return bad_answer({Errc::protocol, "no script", {}});
        return replacements.ask(std::string(body.substr(0, end)),
                                std::string(body.substr(end + 1)));
      }
      return bad_answer({Errc::unsupported, "this script does not know the question",
                         "it is of another version"});
    });
    if (opened)
      socket = std::move(*opened);
    else if (opened.error().code != Errc::vanished)
      console.remark(
          fmt::format("! requests cannot reach this script: {}", opened.error().message));
  }
  if (auto begun = running.start(program); !begun) {
    for (auto& job : replacements.take(true)) job->answer.set_value(bad_answer(begun.error()));
    return std::unexpected(explain(std::move(begun).error(), session));
  }
  outputs.flush();

  const auto answer = [&](Replacements::Job& job) -> std::string {
    vmipl::Source other(job.name, job.text);
    vmipl::Diagnostics found;
    auto next = running.between_blocks([&] { return guest.build(other, found); });
    Console plain = console;
    plain.err_colour = false;
    if (!next)
      return bad_answer(
          {Errc::unsupported, rendered(other, found, plain), "the script that runs runs on"});
    if (auto done = running.replace(next); !done) return bad_answer(done.error());
    source = std::move(other);
    const std::lock_guard lock(name_mutex);
    name = job.name;
    console.remark(fmt::format("{} runs from here on", escape(name, console.charset)));
    return good_answer();
  };
  const auto begun = Clock::now();
  Outcome<void> there{};
  const bool live = session.machine().live();
  while (live && !running.ended() && !InterruptGuard::interrupted()) {
    const auto now = Clock::now();
    if (wanted.duration && now - begun >= *wanted.duration) break;
    auto pause = std::chrono::nanoseconds(std::chrono::milliseconds(50));
    if (wanted.duration) pause = std::min(pause, *wanted.duration - (now - begun));
    running.wait(static_cast<std::uint64_t>(pause.count()));
    outputs.flush();
    for (auto& job : replacements.take()) job->answer.set_value(answer(*job));
    const auto looked = guest.keep_up(running, source);
    if (!looked)
      there = std::unexpected(looked.error());
    else if (*looked)
      there = running.between_blocks([&] { return session.still_there(); });
    if (!there) break;
  }
  for (auto& job : replacements.take(true))
    job->answer.set_value(bad_answer({Errc::vanished, "the script ends", {}}));
  (void)guest.actions().changes();  // those under way are told before the end is
  running.stop();
  outputs.flush();
  socket.reset();
  if (!there) return std::unexpected(std::move(there).error());
  if (console.out.failed() != 0) return Status::done;  // the dispatcher says what is to be said
  const auto status = session.status();
  return status == Status::done && !running.complete() ? Status::doubtful : status;
}

}  // namespace

Command run_command() {
  std::vector<Option> options{
      {"-e", "PROGRAM", "run this text instead of a file"},
      {"--json", "", "one JSON object a record (docs/output.md)"},
      {"--duration", "TIME", "end after 10s, 500ms, 2m ...; else at Ctrl-C or Stop()"},
      {"--channel", "NAME=FILE", "write a channel to a file", Words::path},
      {"--allow-writes", "", "the script may write memory and registers"},
      {"--allow-control", "", "the script may pause, isolate, throttle, kill"}};
  for (auto& option : source_options()) options.push_back(option);
  for (const auto& option : std::initializer_list<Option>{
           {"--replace", "", "put it in the place of the script that runs on the machine"},
           {"--allow", "WARNING", "do not tell warnings of this name", Words::warning},
           {"--no-cache", "", "recover the kernel's symbols and types anew"}})
    options.push_back(option);
  return {
      .name = "run",
      .group = "Language",
      .summary = "run a script on a machine, or on an image",
      .operands = {{.name = "SCRIPT", .words = Words::path, .optional = true},
                   {"VM", Words::machine}},
      .options = std::move(options),
      .description =
          "Runs until it stops itself (Stop()), --duration is over, Ctrl-C, or the machine ends; "
          "then Stop's block runs, all maps are printed, and what was lost is told. "
          "On an image, Start and Stop run once.\n"
          "What a script prints goes to standard output, a channel's lines begin with its name; "
          "remarks go to standard error. Nothing of a script runs unless all of it can.\n"
          "Exit status: 0, it ran to its end, by Ctrl-C too; 1, the script has mistakes or cannot "
          "be had on this machine, or the machine is not there or went away, and no word of it ran "
          "unless it did; 2, the command line was wrong; 3, it ran, and something of what it "
          "should "
          "have shown was lost, thinned or over its budget (standard error says what).",
      .examples =
          {"vitrine run -e 'Every(1s) { for (s in sockets) { @[s.state] = count() } }' web1",
           "vitrine run trace.vmi web1 --duration 10s",
           "vitrine run -e 'Start { for (p in processes) Print(\"%d %s\\n\", p.pid, p.name) }' "
           "memory.lime"},
      .run = run};
}

}  // namespace vitrine::cli
