#include "probe/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "probe/user_frames.h"
#include "vmipl/source.h"

namespace vitrine::probe {
namespace {

using vmipl::ValueType;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::size_t kMaxFrames = 128;

std::string plain_escape(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\')
      out += "\\\\";
    else if (byte >= 0x20 && byte < 0x7f)
      out += c;
    else
      out += fmt::format("\\x{:02x}", byte);
  }
  return out;
}

bool plain_json(std::string& out, std::string_view bytes) {
  const bool ascii = std::all_of(bytes.begin(), bytes.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  out += '"';
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || (c == '\\' && ascii))
      out += '\\', out += c;
    else if (c == '\\')
      out += "\\\\\\\\";
    else if (byte >= 0x80)
      out += fmt::format("\\\\x{:02x}", byte);
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\u{:04x}", byte);
    else
      out += c;
  }
  out += '"';
  return ascii;
}

std::uint64_t frame(std::string_view stack, std::size_t index) {
  std::uint64_t address = 0;
  std::memcpy(&address, stack.data() + index * 8, 8);
  return address;
}
std::size_t frames(std::string_view stack) { return std::min(stack.size() / 8, kMaxFrames); }

// The elements of a list stand one after the other, each with a NUL behind it.
template <class Use>
void each_element(std::string_view list, Use&& use) {
  while (!list.empty()) {
    const auto end = std::min(list.find('\0'), list.size());
    use(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

std::string padded(std::string text, std::size_t width, bool left) {
  const auto have = columns_of(text);
  if (have >= width) return text;
  const std::string blanks(width - have, ' ');
  return left ? text + blanks : blanks + text;
}

struct Directive {
  bool left = false, plus = false, space = false, alternate = false, zero = false;
  std::size_t width = 0;
  std::optional<std::size_t> precision;
  char letter = '\0';
};

std::string number_text(const Directive& how, std::uint64_t value, bool is_signed) {
  const bool negative = is_signed && static_cast<std::int64_t>(value) < 0;
  const std::uint64_t magnitude = negative ? 0 - value : value;
  std::string digits, sign;
  switch (how.letter) {
    case 'x':
      digits = fmt::format("{:x}", value);
      if (how.alternate && value != 0) sign = "0x";
      break;
    case 'X':
      digits = fmt::format("{:X}", value);
      if (how.alternate && value != 0) sign = "0X";
      break;
    case 'o':
      digits = fmt::format("{:o}", value);
      if (how.alternate && value != 0) sign = "0";
      break;
    case 'b':
      digits = fmt::format("{:b}", value);
      if (how.alternate && value != 0) sign = "0b";
      break;
    case 'p':
      digits = fmt::format("{:x}", value);
      sign = "0x";
      break;
    default:
      digits = fmt::format("{}", magnitude);
      sign = negative ? "-" : how.plus ? "+" : how.space ? " " : "";
      break;
  }
  if (how.precision && digits.size() < *how.precision)
    digits.insert(0, *how.precision - digits.size(), '0');
  if (how.zero && !how.left && !how.precision && digits.size() + sign.size() < how.width)
    digits.insert(0, how.width - digits.size() - sign.size(), '0');
  return sign + digits;
}

bool is_signed(ValueType type) {
  return type == ValueType::integer || type == ValueType::duration || type == ValueType::time;
}

std::string directive_text(const Directive& how, const Value& value, ValueType type,
                           const TextRules& rules) {
  if (!value.there) return "?";
  switch (how.letter) {
    case 's': {
      auto text = words(value.view(), type, rules);
      if (how.precision) {
        // So many characters, whole ones.
        std::size_t at = 0;
        for (std::size_t count = 0; at < text.size() && count < *how.precision; ++count)
          at += vmipl::decode_utf8(std::string_view(text).substr(at)).bytes;
        text.resize(std::min(at, text.size()));
      }
      return text;
    }
    case 't':
      return time_words(static_cast<std::int64_t>(value.number));
    case 'c': {
      std::string character;
      if (value.number > 0x10ffff) return "?";
      vmipl::append_utf8(character, static_cast<char32_t>(value.number));
      return value.number == '\n' || value.number == '\t' ? character : rules.escape(character);
    }
    case 'x':
    case 'X':
      if (value.textual) {
        std::string out;
        for (const char c : value.text)
          out += how.letter == 'x' ? fmt::format("{:02x}", static_cast<unsigned char>(c))
                                   : fmt::format("{:02X}", static_cast<unsigned char>(c));
        return out;
      }
      return number_text(how, value.number, false);
    case 'd':
      return number_text(how, value.number, is_signed(type));
    default:
      return number_text(how, value.number, false);
  }
}

}  // namespace

TextRules complete(TextRules rules) {
  if (!rules.escape) rules.escape = plain_escape;
  if (!rules.json) rules.json = plain_json;
  if (!rules.symbol) rules.symbol = [](std::uint64_t) { return std::string(); };
  return rules;
}

unsigned columns_of(std::string_view text) {
  unsigned columns = 0;
  while (!text.empty()) {
    const auto character = vmipl::decode_utf8(text);
    columns += character.valid ? vmipl::display_width(character.code) : 1;
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string duration_words(std::int64_t nanoseconds) {
  const bool negative = nanoseconds < 0;
  const std::uint64_t n = negative ? 0 - static_cast<std::uint64_t>(nanoseconds)
                                   : static_cast<std::uint64_t>(nanoseconds);
  const std::string sign = negative ? "-" : "";
  const auto scaled = [&](std::uint64_t unit, std::string_view name) {
    // Three digits, without zeros behind the point.
    const auto whole = n / unit;
    const auto thousandths = n % unit * 1000 / unit;
    std::string digits = fmt::format("{:03}", thousandths);
    digits.resize(whole >= 100 ? 0 : whole >= 10 ? 1 : 2);
    while (!digits.empty() && digits.back() == '0') digits.pop_back();
    return fmt::format("{}{}{}{}{}", sign, whole, digits.empty() ? "" : ".", digits, name);
  };
  if (n < 1000) return fmt::format("{}{}ns", sign, n);
  if (n < 1'000'000) return scaled(1000, "us");
  if (n < 1'000'000'000) return scaled(1'000'000, "ms");
  const auto seconds = n / 1'000'000'000;
  if (seconds < 60) return scaled(1'000'000'000, "s");
  if (seconds < 3600) return fmt::format("{}{}m{:02}s", sign, seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}{}h{:02}m", sign, seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}{}d{:02}h", sign, seconds / 86400, seconds / 3600 % 24);
}

std::string time_words(std::int64_t nanoseconds) {
  auto seconds = static_cast<std::time_t>(nanoseconds / kSecond);
  auto rest = nanoseconds % kSecond;
  if (rest < 0) rest += kSecond, --seconds;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     rest / 1000);
}

std::string words(const ValueView& value, ValueType type, const TextRules& rules) {
  if (!value.there) return "?";
  switch (type) {
    case ValueType::boolean:
      return value.number != 0 ? "true" : "false";
    case ValueType::integer:
      return fmt::format("{}", static_cast<std::int64_t>(value.number));
    case ValueType::word:
      return fmt::format("{}", value.number);
    case ValueType::address:
      return fmt::format("{:#x}", value.number);
    case ValueType::duration:
      return duration_words(static_cast<std::int64_t>(value.number));
    case ValueType::time:
      return time_words(static_cast<std::int64_t>(value.number));
    case ValueType::text:
    case ValueType::bytes:
      return rules.escape(value.text);
    case ValueType::list: {
      std::string out;
      each_element(value.text, [&](std::string_view element) {
        if (!out.empty()) out += ", ";
        out += rules.escape(element);
      });
      return out;
    }
    case ValueType::stack: {
      if (frames(value.text) == 0) return "(no frames)";  // of the kernel, while a program runs
      std::string out;
      for (std::size_t i = 0; i < frames(value.text); ++i) {
        const auto word = frame(value.text, i);
        const auto name = rules.symbol(word);
        out += fmt::format("\n    {}", name.empty() ? fmt::format("{:#x}", frame_address(word))
                                                    : rules.escape(name));
      }
      return out;
    }
  }
  return "?";
}

bool append_json(std::string& out, const ValueView& value, ValueType type, const TextRules& rules) {
  if (!value.there) {
    out += "null";
    return true;
  }
  // JSON's numbers are exact up to 2^53: what may be beyond, and is, is a string of its digits.
  constexpr std::uint64_t kExact = 1ULL << 53;
  switch (type) {
    case ValueType::boolean:
      out += value.number != 0 ? "true" : "false";
      return true;
    case ValueType::integer: {
      const auto number = static_cast<std::int64_t>(value.number);
      const bool exact = number <= static_cast<std::int64_t>(kExact) &&
                         number >= -static_cast<std::int64_t>(kExact);
      out += exact ? fmt::format("{}", number) : fmt::format("\"{}\"", number);
      return true;
    }
    case ValueType::word:
      out += value.number <= kExact ? fmt::format("{}", value.number)
                                    : fmt::format("\"{}\"", value.number);
      return true;
    case ValueType::address:
      out += fmt::format("\"{:#018x}\"", value.number);
      return true;
    case ValueType::duration: {
      const auto number = static_cast<std::int64_t>(value.number);
      const auto magnitude = number < 0 ? 0 - value.number : value.number;
      out += fmt::format("{}{}.{:09}", number < 0 ? "-" : "",
                         magnitude / static_cast<std::uint64_t>(kSecond),
                         magnitude % static_cast<std::uint64_t>(kSecond));
      return true;
    }
    case ValueType::time: {
      const auto number = static_cast<std::int64_t>(value.number);
      auto text = time_words(number);
      auto rest = number % 1000;
      if (rest < 0) rest += 1000;
      text.insert(text.size() - 1, fmt::format("{:03}", rest));
      out += '"' + text + '"';
      return true;
    }
    case ValueType::text:
      return rules.json(out, value.text);
    case ValueType::bytes:
      out += '"';
      for (const char c : value.text) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
      out += '"';
      return true;
    case ValueType::list: {
      bool clean = true, first = true;
      out += '[';
      each_element(value.text, [&](std::string_view element) {
        if (!first) out += ',';
        first = false;
        clean = rules.json(out, element) && clean;
      });
      out += ']';
      return clean;
    }
    case ValueType::stack:
      out += '[';
      for (std::size_t i = 0; i < frames(value.text); ++i) {
        const auto word = frame(value.text, i);
        if (i != 0) out += ',';
        out += fmt::format("{{\"address\":\"{:#018x}\",\"symbol\":", frame_address(word));
        const auto name = rules.symbol(word);
        if (name.empty())
          out += "null";
        else
          (void)rules.json(out, name);
        out += '}';
      }
      out += ']';
      return true;
  }
  out += "null";
  return true;
}

std::string format_text(std::string_view format, std::span<const Value> values,
                        std::span<const ValueType> types, const TextRules& rules) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == '%') {
      out += '%';
      ++i;
      continue;
    }
    Directive how;
    for (++i; i < format.size(); ++i) {
      const char c = format[i];
      if (c == '-')
        how.left = true;
      else if (c == '+')
        how.plus = true;
      else if (c == ' ')
        how.space = true;
      else if (c == '#')
        how.alternate = true;
      else if (c == '0')
        how.zero = true;
      else
        break;
    }
    const auto digits = [&] {
      std::size_t number = 0;
      while (i < format.size() && format[i] >= '0' && format[i] <= '9')
        number =
            std::min<std::size_t>(number * 10 + static_cast<std::size_t>(format[i++] - '0'), 1000);
      return number;
    };
    how.width = digits();
    if (i < format.size() && format[i] == '.') {
      ++i;
      how.precision = digits();
    }
    if (i >= format.size()) break;
    how.letter = format[i];
    // A forged program may say more than it has.
    if (next >= values.size() || next >= types.size()) {
      out += '?';
      continue;
    }
    out += padded(directive_text(how, values[next], types[next], rules), how.width, how.left);
    ++next;
  }
  return out;
}

}  // namespace vitrine::probe
