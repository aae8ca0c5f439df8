#include "cli/quantities.h"

#include <fmt/format.h>

#include <charconv>

namespace vitrine::cli {

Outcome<std::chrono::nanoseconds> parse_duration(std::string_view option, const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const double scale = unit.empty() || unit == "s"    ? 1e9
                       : unit == "us"                 ? 1e3
                       : unit == "ms"                 ? 1e6
                       : unit == "m" || unit == "min" ? 60e9
                       : unit == "h"                  ? 3600e9
                       : unit == "d"                  ? 86400e9
                                                      : 0;
  if (error != std::errc{} || scale == 0 || !(number * scale >= 1) || number * scale > 9e18) {
    return std::unexpected(Problem(Errc::invalid,
                                   fmt::format("{}: \"{}\" is no duration", option, text),
                                   fmt::format("for example: {} 10s, 500ms, 2m", option)));
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(number * scale));
}

Outcome<std::uint64_t> parse_number(std::string_view option, const std::string& text,
                                    std::uint64_t most) {
  std::uint64_t number = 0;
  const auto* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || end != last || number > most) {
    return std::unexpected(
        Problem(Errc::invalid,
                fmt::format("{}: \"{}\" is no number from 0 to {}", option, text, most), {}));
  }
  return number;
}

}  // namespace vitrine::cli
