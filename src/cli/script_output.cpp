#include "cli/script_output.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "cli/escape.h"
#include "probe/record_words.h"
#include "probe/streams/stream.h"

namespace vitrine::cli {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

probe::TextRules text_rules(const Console& console) {
  return {.escape = [charset = console.charset](
                        std::string_view bytes) { return escape(bytes, charset); },
          .json =
              [](std::string& out, std::string_view bytes) {
                const bool clean = valid_utf8(bytes);
                append_json(out, clean ? std::string(bytes) : escape_invalid(bytes));
                return clean;
              },
          .utf8 = console.charset == Charset::utf8,
          .width = console.width == 0 ? 100 : console.width};
}

probe::OutputOptions output_options(Console& console,
                                    std::map<std::string, std::string> channel_files, bool json) {
  auto last = std::make_shared<Clock::time_point>();
  // A guest does not wait for whoever reads.
  console.out.pace(true);
  console.err.pace(true);
  return {.standard =
              [&console, last](std::string_view text) {
                if (!console.out.write(text)) return false;
                const auto now = Clock::now();
                if (!console.interactive && now - *last < std::chrono::milliseconds(20))
                  return true;
                *last = now;
                return console.out.flush();
              },
          .flush = [&console] { return console.out.flush(); },
          .room =
              [&console](std::size_t bytes) {
                return console.out.room(bytes) || (console.out.flush() && console.out.room(bytes));
              },
          .patient =
              [&console] {
                console.out.pace(false);
                console.err.pace(false);
              },
          .remark =
              [&console](std::string_view words) {
                console.remark(escape(words, console.charset));
                console.err.flush();
              },
          .channel_files = std::move(channel_files),
          .json = json};
}

probe::MachineActions::Teller change_teller(probe::Outputs& outputs, const Console& console,
                                            bool json) {
  return [&outputs, &console, json](const probe::GuestChange& change) {
    outputs.remark(fmt::format("{} {} {}", change.failed ? "! not done:" : "changed:",
                               probe::time_text(change.wall_ns), change.words));
    if (!json) return;
    auto line = probe::json_head("change", change.wall_ns) + ",\"text\":";
    const bool clean = text_rules(console).json(line, change.words);
    line +=
        fmt::format(",\"failed\":{}{}}}\n", change.failed, clean ? "" : ",\"escaped\":[\"text\"]");
    (void)outputs.write_line(line);
  };
}

}  // namespace vitrine::cli
