#include "cli/address_words.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace vitrine::cli {
namespace {

std::optional<std::uint64_t> whole(std::string_view digits, int base) {
  std::uint64_t value = 0;
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
  if (digits.empty() || error != std::errc() || stop != end) return std::nullopt;
  return value;
}

constexpr std::size_t kFullAddress = 16;  // digits

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return whole(text.substr(2), 16);
  if (text.size() == kFullAddress) {
    if (const auto value = whole(text, 16)) return value;
  }
  return whole(text, 10);
}

Outcome<std::uint64_t> parse_address(std::string_view text,
                                     const std::function<Outcome<Gva>(std::string_view)>& symbol) {
  const auto sign = text.find_first_of("+-");
  const auto base = text.substr(0, sign);
  if (base.empty()) {
    return std::unexpected(Problem(Errc::invalid, fmt::format("\"{}\" is no address", text),
                                   "an address is 0x..., a symbol, or symbol+offset"));
  }
  std::uint64_t value = 0;
  if (const auto number = parse_number(base)) {
    value = *number;
  } else if (base.front() >= '0' && base.front() <= '9') {
    return std::unexpected(Problem(Errc::invalid, fmt::format("\"{}\" is no number", base),
                                   "hexadecimal numbers begin with 0x"));
  } else {
    value = TRY(symbol(base)).value;
  }
  if (sign == std::string_view::npos) return value;
  const auto offset = parse_number(text.substr(sign + 1));
  if (!offset) {
    return std::unexpected(Problem(Errc::invalid,
                                   fmt::format("\"{}\" is no offset", text.substr(sign + 1)),
                                   "for example: init_task+0x10"));
  }
  return text[sign] == '+' ? value + *offset : value - *offset;
}

Outcome<std::uint64_t> parse_length(std::string_view text) {
  auto digits = text;
  std::uint64_t unit = 1;
  if (!digits.empty()) {
    switch (digits.back()) {
      case 'K':
      case 'k':
        unit = kKiB;
        break;
      case 'M':
      case 'm':
        unit = kMiB;
        break;
      case 'G':
      case 'g':
        unit = kGiB;
        break;
      default:
        break;
    }
  }
  if (unit != 1) digits.remove_suffix(1);
  const auto value = parse_number(digits);
  if (!value || *value == 0 || *value > UINT64_MAX / unit) {
    return std::unexpected(Problem(Errc::invalid, fmt::format("\"{}\" is no length", text),
                                   "for example: 256, 0x100, 4K, 1M"));
  }
  return *value * unit;
}

}  // namespace vitrine::cli
