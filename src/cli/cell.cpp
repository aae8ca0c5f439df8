#include "cli/cell.h"

#include <fmt/core.h>

#include <array>
#include <ctime>
#include <variant>

namespace vitrine::cli {
namespace {

using linux::ColumnType;
using linux::Missing;
using linux::Value;
using List = std::vector<std::string>;

constexpr std::int64_t kSecond = 1'000'000'000;

// The kind of value that a reader put in decides how it is read; the column's type, how
// it is written. A reader that confuses them gets a readable cell, not a crash.
std::int64_t as_signed(const Value& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value))
    return static_cast<std::int64_t>(*number);
  return std::get<std::int64_t>(value);
}

bool is_number(const Value& value) {
  return std::holds_alternative<std::int64_t>(value) ||
         std::holds_alternative<std::uint64_t>(value);
}

std::uint64_t magnitude(std::int64_t value) {
  return value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
}

/// Seconds, exactly: "62.345", "-0.5", "3".
std::string seconds(std::int64_t nanoseconds) {
  const auto size = magnitude(nanoseconds);
  std::string text =
      fmt::format("{}{}.{:09}", nanoseconds < 0 ? "-" : "", size / kSecond, size % kSecond);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string number(const Value& value, ColumnType type) {
  switch (type) {
    case ColumnType::address:
    case ColumnType::mask:
      return fmt::format("{:#x}", static_cast<std::uint64_t>(as_signed(value)));
    case ColumnType::duration:
      return seconds(as_signed(value));
    case ColumnType::time:
      return iso_time(as_signed(value), true);
    default:
      break;
  }
  if (const auto* wide = std::get_if<std::uint64_t>(&value)) return fmt::format("{}", *wide);
  return fmt::format("{}", std::get<std::int64_t>(value));
}

std::string joined(const List& list, Charset charset, std::string_view space) {
  std::string text;
  for (const auto& element : list) {
    if (&element != list.data()) text += ' ';
    for (const char c : escape(element, charset)) {
      if (c == ' ') {
        text += space;
      } else {
        text += c;
      }
    }
  }
  return text;
}

}  // namespace

std::string human_size(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double size = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (size >= 1023.95 && unit + 1 < kUnits.size()) {
    size /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", size, kUnits[unit]);
}

std::string human_duration(std::int64_t nanoseconds) {
  const std::string sign = nanoseconds < 0 ? "-" : "";
  const auto size = magnitude(nanoseconds);
  const auto whole = size / kSecond;
  const auto milliseconds = size % kSecond / 1'000'000;
  if (whole < 60) return fmt::format("{}{}.{:03}s", sign, whole, milliseconds);
  const auto minutes = whole / 60;
  if (minutes < 60)
    return fmt::format("{}{}m{:02}.{:03}s", sign, minutes, whole % 60, milliseconds);
  const auto hours = minutes / 60;
  if (hours < 24) return fmt::format("{}{}h{:02}m{:02}s", sign, hours, minutes % 60, whole % 60);
  return fmt::format("{}{}d{:02}h{:02}m", sign, hours / 24, hours % 24, minutes % 60);
}

std::string iso_time(std::int64_t nanoseconds, bool fraction) {
  auto whole = nanoseconds / kSecond;
  auto rest = nanoseconds % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --whole;
  }
  const auto time = static_cast<std::time_t>(whole);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 40> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (fraction && rest != 0) return fmt::format("{}.{:09}Z", text.data(), rest);
  return fmt::format("{}Z", text.data());
}

std::string human(const Value& value, ColumnType type, Charset charset) {
  if (std::holds_alternative<Missing>(value)) return "-";
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  if (const auto* text = std::get_if<std::string>(&value)) return escape(*text, charset);
  if (const auto* list = std::get_if<List>(&value)) return joined(*list, charset, " ");
  switch (type) {
    case ColumnType::size:
      return as_signed(value) < 0 ? number(value, type)
                                  : human_size(static_cast<std::uint64_t>(as_signed(value)));
    case ColumnType::duration:
      return human_duration(as_signed(value));
    case ColumnType::time:
      return iso_time(as_signed(value), false);
    default:
      return number(value, type);
  }
}

std::string exact(const Value& value, ColumnType type) {
  if (std::holds_alternative<Missing>(value)) return "";
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return escape(*text, Charset::utf8);
  if (const auto* list = std::get_if<List>(&value)) return joined(*list, Charset::utf8, "\\x20");
  return number(value, type);
}

bool append_json(std::string& out, const Value& value, ColumnType type) {
  if (std::holds_alternative<Missing>(value)) {
    out += "null";
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    out += *flag ? "true" : "false";
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    const bool sound = valid_utf8(*text);
    append_json(out, sound ? *text : escape_invalid(*text));
    return sound;
  } else if (const auto* list = std::get_if<List>(&value)) {
    bool sound = true;
    for (const auto& element : *list) sound = sound && valid_utf8(element);
    out += '[';
    for (const auto& element : *list) {
      if (&element != list->data()) out += ',';
      append_json(out, sound ? element : escape_invalid(element));
    }
    out += ']';
    return sound;
  } else {
    const bool quoted =
        type == ColumnType::address || type == ColumnType::mask || type == ColumnType::time;
    if (quoted) out += '"';
    out += number(value, type);
    if (quoted) out += '"';
  }
  return true;
}

bool right_aligned(ColumnType type) noexcept {
  switch (type) {
    case ColumnType::integer:
    case ColumnType::address:
    case ColumnType::mask:
    case ColumnType::size:
    case ColumnType::duration:
      return true;
    default:
      return false;
  }
}

std::weak_ordering compare(const Value& a, const Value& b) {
  const bool a_missing = std::holds_alternative<Missing>(a);
  const bool b_missing = std::holds_alternative<Missing>(b);
  if (a_missing || b_missing) return a_missing <=> b_missing;
  if (is_number(a) && is_number(b) && a.index() != b.index()) return as_signed(a) <=> as_signed(b);
  return a <=> b;
}

}  // namespace vitrine::cli
