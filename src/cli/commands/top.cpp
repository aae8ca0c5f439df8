// vitrine top: processes, live.
#include <fmt/core.h>
#include <unistd.h>

#include <charconv>
#include <chrono>

#include "cli/collect.h"
#include "cli/commands/families.h"
#include "cli/interrupt.h"
#include "cli/screen.h"
#include "cli/session.h"
#include "cli/top_table.h"

namespace vitrine::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::chrono::milliseconds interval{1000};
  std::uint64_t count = 0;  ///< looks; 0: until stopped
  TopOptions shown;
};

Outcome<Settings> parse_settings(const Arguments& words) {
  Settings settings;
  const auto misuse = [](std::string message, std::string hint) {
    return std::unexpected(Problem(Errc::invalid, std::move(message), std::move(hint)));
  };
  if (const auto text = words.value("--interval")) {
    double seconds = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
    if (error != std::errc() || end != text->data() + text->size() ||
        !(seconds >= 0.05 && seconds <= 86400)) {
      return misuse(fmt::format("--interval: \"{}\" is no number of seconds", *text),
                    "from 0.05 to 86400");
    }
    settings.interval = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  }
  if (const auto text = words.value("--count")) {
    const auto [end, error] =
        std::from_chars(text->data(), text->data() + text->size(), settings.count);
    if (error != std::errc() || end != text->data() + text->size() || settings.count == 0) {
      return misuse(fmt::format("--count: \"{}\" is no number of looks", *text),
                    "for example: --count 3; without it, until q or Ctrl-C");
    }
  }
  if (const auto text = words.value("--sort")) {
    if (*text == "cpu")
      settings.shown.order = TopOrder::cpu;
    else if (*text == "memory")
      settings.shown.order = TopOrder::memory;
    else if (*text == "time")
      settings.shown.order = TopOrder::time;
    else if (*text == "pid")
      settings.shown.order = TopOrder::pid;
    else
      return misuse(fmt::format("--sort: there is no order \"{}\"", *text),
                    "by cpu, memory, time or pid");
  }
  return settings;
}

Outcome<TopLook> look(Context& context, Session& session) {
  session.guest().refresh();
  TRY(session.still_there());
  // What one look leaves open is not said every second; doubtful rows are marked.
  StringOutput unsaid;
  Console quiet{.out = context.console.out, .err = unsaid};
  Context silent{context.world, quiet};
  const auto collected = TRY(collect("processes",
                                     {"pid", "address", "uid", "state", "cpu_user", "cpu_system",
                                      "rss", "cmdline", "name", "kernel_thread"},
                                     {}, silent, session));
  TopLook made;
  made.at =
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  for (const auto& row : collected.rows) {
    const auto& values = row.values;
    const auto* kernel = std::get_if<bool>(&values[9]);
    auto command = Collected::text(values[7]);
    if (command.empty()) command = "[" + Collected::text(values[8]) + "]";
    made.processes.push_back(
        {.pid = Collected::integer(values[0]),
         .address = Collected::address(values[1]),
         .uid = Collected::integer(values[2]),
         .state = Collected::text(values[3]),
         .cpu_time = Collected::integer(values[4]) + Collected::integer(values[5]),
         .rss = Collected::integer(values[6]),
         .command = std::move(command),
         .kernel_thread = kernel != nullptr && *kernel,
         .doubtful = !row.doubt.empty()});
  }
  return made;
}

/// Tables one below the other: for pipes and files.
Outcome<Status> repeat(Context& context, Session& session, const Settings& settings) {
  auto& console = context.console;
  TopTable table;
  for (std::uint64_t i = 0; settings.count == 0 || i < settings.count; ++i) {
    if (i != 0) {
      usleep(static_cast<useconds_t>(settings.interval.count() * 1000));
      if (InterruptGuard::interrupted()) break;
      console.out.write("\n");
    }
    table.add(TRY(look(context, session)));
    bool read = true;
    for (const auto& line : table.lines(settings.shown, console.width, 0, console)) {
      read = read && console.out.write(line + "\n");
    }
    if (!read || !console.out.flush()) break;
  }
  return session.status();
}

/// @returns false  the key says: stop
bool obey(int key, TopOptions& shown, std::size_t rows, std::size_t page) {
  const std::size_t last = rows > page ? rows - page : 0;
  switch (key) {
    case 'q':
    case Screen::kClosed:
      return false;
    case 'P':
    case 'p':
      shown.order = TopOrder::cpu;
      break;
    case 'M':
    case 'm':
      shown.order = TopOrder::memory;
      break;
    case 'T':
    case 't':
      shown.order = TopOrder::time;
      break;
    case 'N':
    case 'n':
      shown.order = TopOrder::pid;
      break;
    case 'r':
    case 'R':
      shown.reverse = !shown.reverse;
      break;
    case 'k':
    case 'K':
      shown.kernel_threads = !shown.kernel_threads;
      break;
    case Screen::kUp:
      shown.from -= shown.from > 0 ? 1 : 0;
      break;
    case Screen::kDown:
      shown.from = std::min(shown.from + 1, last);
      break;
    case Screen::kPageUp:
      shown.from -= std::min(shown.from, page);
      break;
    case Screen::kPageDown:
      shown.from = std::min(shown.from + page, last);
      break;
    case Screen::kHome:
      shown.from = 0;
      break;
    case Screen::kEnd:
      shown.from = last;
      break;
    default:
      break;
  }
  return true;
}

/// Until q, Ctrl-C or the last look; then the terminal is as it was.
Outcome<void> on_screen(Context& context, Session& session, Settings& settings, TopTable& table) {
  auto& console = context.console;
  const auto screen = TRY(Screen::open());
  auto next = Clock::now();
  const auto name = escape(session.machine().name(), console.charset);
  const auto release = escape(session.guest().identity().release, console.charset);
  for (std::uint64_t i = 0; !InterruptGuard::interrupted();) {
    if (Clock::now() >= next) {
      if (settings.count != 0 && i == settings.count) break;
      table.add(TRY(look(context, session)));
      // CPU shares need two looks: the second comes soon.
      next = Clock::now() + (i == 0 ? std::min(settings.interval, std::chrono::milliseconds(300))
                                    : settings.interval);
      ++i;
    }
    const auto size = Screen::size();
    const auto page = size.rows > 4 ? size.rows - 4U : 1U;
    auto lines = table.lines(settings.shown, size.columns, size.rows - 1U, console);
    lines.front() = shorten(fmt::format("{}, Linux {}: {}", name, release, lines.front()),
                            size.columns, console.charset);
    lines.resize(std::max<std::size_t>(size.rows - 1U, lines.size()));
    lines.push_back(console.dim(shorten(
        "q quit  p CPU  m memory  t time  n pid  r reverse  k kernel threads  arrows scroll",
        size.columns, console.charset)));
    screen.draw(lines);
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count();
    const int key = screen.key(static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (!obey(key, settings.shown, table.size(settings.shown), page)) break;
  }
  return {};
}

Outcome<Status> live(Context& context, Session& session, Settings settings) {
  auto& console = context.console;
  TopTable table;
  TRY(on_screen(context, session, settings, table));
  // The screen is as it was before; who said how many looks wanted to read the last.
  if (settings.count != 0) {
    for (const auto& line : table.lines(settings.shown, console.width, 0, console)) {
      if (!console.out.write(line + "\n")) break;
    }
  }
  return session.status();
}

Outcome<Status> run(Context& context, const Arguments& words) {
  const auto settings = TRY(parse_settings(words));
  auto session = TRY(Session::open(context, words));
  const InterruptGuard interrupts;
  const bool terminal = Screen::possible() && context.console.interactive;
  return terminal ? live(context, session, settings) : repeat(context, session, settings);
}

}  // namespace

Command top_command() {
  return {.name = "top",
          .group = "Look",
          .summary = "processes, live",
          .operands = {{"VM", Words::machine}},
          .options = {{"--interval", "SECONDS", "between two looks; 1 if not said", Words::number},
                      {"--count", "N", "end after so many looks", Words::number},
                      {"--sort",
                       "ORDER",
                       "cpu (usual), memory, time or pid",
                       Words::text,
                       {"cpu", "memory", "time", "pid"}},
                      {"--no-cache", "", "recover the kernel's symbols and types anew"}},
          .description =
              "CPU% is of one CPU, since the last look. In a pipe, tables follow each other.",
          .examples = {"vitrine top web1", "vitrine top web1 --sort memory --count 1"},
          .run = run};
}

}  // namespace vitrine::cli
