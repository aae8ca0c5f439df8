#include "machine/log_marker.h"

#include <fmt/format.h>

namespace vitrine {

std::optional<TraceEvent> find_trace_event(char letter) noexcept {
  for (const auto& event : kTraceEvents) {
    if (event.letter == letter) return event;
  }
  return std::nullopt;
}

std::string LogMarker::name() const {
  return fmt::format("log-{}-{}", home == null ? "null" : home == error ? "error" : "kept", events);
}

std::optional<LogMarker> LogMarker::parse(std::string_view what) {
  LogMarker marker;
  if (what.starts_with("log-null-"))
    what.remove_prefix(9);
  else if (what.starts_with("log-error-"))
    marker.home = error, what.remove_prefix(10);
  else if (what.starts_with("log-kept-"))
    marker.home = kept, what.remove_prefix(9);
  else
    return std::nullopt;
  for (const char letter : what) {
    if (!find_trace_event(letter)) return std::nullopt;
  }
  marker.events = what;
  return marker;
}

std::vector<std::pair<std::string, std::string>> LogMarker::undo() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const char letter : events) {
    out.emplace_back("trace-event-set-state", fmt::format(R"({{"name":"{}","enable":false}})",
                                                          find_trace_event(letter)->name));
  }
  if (home != kept)
    out.emplace_back("human-monitor-command",
                     fmt::format(R"({{"command-line":"logfile {}"}})",
                                 home == null ? "/dev/null" : "/proc/self/fd/2"));
  return out;
}

}  // namespace vitrine
