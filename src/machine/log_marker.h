// LogMarker: a note on the machine itself that its log was redirected, and how to undo that.
//
// QEMU cannot be asked where its log goes. Whoever redirects it puts an object with a telling
// name beside it, so that a later Vitrine can send it home if the first and its guardian die.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitrine {

/// The trace events that are ever switched on.
struct TraceEvent {
  char letter;            ///< in the marker's name
  std::string_view name;  ///< QEMU's
};
inline constexpr TraceEvent kTraceEvents[] = {
    {'q', "input_event_key_qcode"}, {'n', "input_event_key_number"}, {'p', "ps2_put_keycode"},
    {'s', "serial_write"},          {'r', "blk_co_preadv"},          {'w', "blk_co_pwritev"},
};
[[nodiscard]] std::optional<TraceEvent> find_trace_event(char letter) noexcept;

struct LogMarker {
  enum Home : std::uint8_t {
    null,   ///< /dev/null
    error,  ///< QEMU's stderr, opened again by its name under /proc
    kept,   ///< it was not redirected
  } home = null;
  std::string events;  ///< letters of what was switched on; was off before

  /// "log-null-qp": what stands after the owner's prefix.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] static std::optional<LogMarker> parse(std::string_view what);
  /// The monitor commands and their arguments that switch the events off and send the log home.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> undo() const;
  bool operator==(const LogMarker&) const = default;
};

}  // namespace vitrine
