#include "machine/trace_line.h"

#include <charconv>

namespace vitrine {
namespace {

/// Reads a line from left to right; once something is not there, nothing more is.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  void word(std::string_view expected) {
    if (!good_ || !text_.starts_with(expected))
      good_ = false;
    else
      text_.remove_prefix(expected.size());
  }
  std::uint64_t number(int base) {
    if (base == 16 && text_.starts_with("0x")) text_.remove_prefix(2);
    if (base == 16 && text_.starts_with("(nil)")) {
      text_.remove_prefix(5);
      return 0;
    }
    std::uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(text_.data(), text_.data() + text_.size(), value, base);
    if (error != std::errc())
      good_ = false;
    else
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return value;
  }
  std::string_view until(char end) {
    const auto at = text_.find(end);
    if (at == std::string_view::npos) {
      good_ = false;
      return {};
    }
    const auto out = text_.substr(0, at);
    text_.remove_prefix(at);
    return out;
  }
  [[nodiscard]] bool good() const { return good_; }
  /// All of the line is read.
  [[nodiscard]] bool done() const { return good_ && text_.empty(); }

 private:
  std::string_view text_;
  bool good_ = true;
};

/// From the event's name on, behind QEMU's prefix if there is one.
std::string_view after_prefix(std::string_view line) {
  const auto space = line.find(' ');
  const auto first = line.substr(0, space);
  if (const auto at = first.find('@'); at != std::string_view::npos) {
    const auto colon = first.find(':', at);
    if (colon != std::string_view::npos) return line.substr(colon + 1);
  }
  if (space != std::string_view::npos && first.size() > 10 && first[4] == '-' && first[7] == '-' &&
      first.find('T') != std::string_view::npos)
    return line.substr(space + 1);
  return line;
}

bool name_is_sound(std::string_view name) {
  if (name.empty() || name.size() > 40) return false;
  for (const char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return true;
}

}  // namespace

std::optional<TraceLine> parse_trace_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  line = after_prefix(line);
  const auto space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto event = line.substr(0, space);
  Reader rest(line.substr(space + 1));
  TraceLine out;
  if (event == "input_event_key_qcode" || event == "input_event_key_number") {
    rest.word("con ");
    (void)rest.until(',');
    if (event == "input_event_key_qcode") {
      rest.word(", key qcode ");
      out.name = rest.until(',');
    } else {
      rest.word(", key number ");
      (void)rest.number(16);
      rest.word(" [");
      out.name = rest.until(']');
      rest.word("]");
    }
    rest.word(", down ");
    out.down = rest.number(10) != 0;
    if (!rest.done() || !name_is_sound(out.name)) return std::nullopt;
    return out;
  }
  if (event == "ps2_put_keycode") {
    out.kind = TraceLine::scan_code;
    out.device = rest.number(16);
    rest.word(" keycode ");
    out.value = rest.number(16);
    return rest.done() && out.value <= 0xff ? std::optional(out) : std::nullopt;
  }
  if (event == "serial_write") {
    out.kind = TraceLine::serial_write;
    rest.word("write addr ");
    out.address = rest.number(16);
    rest.word(" val ");
    out.value = rest.number(16);
    return rest.done() && out.address <= 7 && out.value <= 0xff ? std::optional(out) : std::nullopt;
  }
  if (event == "blk_co_preadv" || event == "blk_co_pwritev") {
    out.kind = event == "blk_co_preadv" ? TraceLine::block_read : TraceLine::block_write;
    rest.word("blk ");
    out.device = rest.number(16);
    rest.word(" bs ");
    (void)rest.number(16);
    rest.word(" offset ");
    out.address = rest.number(10);
    rest.word(" bytes ");
    out.value = rest.number(10);
    return rest.good() ? std::optional(out) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace vitrine
