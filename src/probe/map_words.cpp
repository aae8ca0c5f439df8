#include "probe/map_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace vitrine::probe {
namespace {

using vmipl::Aggregate;
using vmipl::MapInfo;
using vmipl::ValueType;

bool is_signed(const MapInfo& map) {
  return map.value == ValueType::integer || map.value == ValueType::duration ||
         map.value == ValueType::time;
}
bool has_buckets(const MapInfo& map) {
  return map.aggregate == Aggregate::histogram || map.aggregate == Aggregate::linear;
}
bool is_number(ValueType type) {
  return type == ValueType::integer || type == ValueType::word || type == ValueType::duration ||
         type == ValueType::address || type == ValueType::time;
}

std::uint64_t mean(const MapInfo& map, const MapRow& row) {
  if (row.count == 0) return 0;
  return is_signed(map) ? static_cast<std::uint64_t>(static_cast<std::int64_t>(row.sum) /
                                                     static_cast<std::int64_t>(row.count))
                        : row.sum / row.count;
}

/// The one value of a row, and its type; not for buckets and stats.
std::pair<Value, ValueType> value_of(const MapInfo& map, const MapRow& row) {
  switch (map.aggregate) {
    case Aggregate::none:
      return {row.value, map.value};
    case Aggregate::count:
      return {ValueView::of(row.count), ValueType::word};
    case Aggregate::min:
      return {ValueView::of(row.least), map.value};
    case Aggregate::max:
      return {ValueView::of(row.greatest), map.value};
    case Aggregate::avg:
      return {ValueView::of(mean(map, row)), map.value};
    default:
      return {ValueView::of(row.sum), map.value};
  }
}

int compare(const Value& a, const Value& b, ValueType type) {
  if (vmipl::is_textual(type)) return a.text.compare(b.text);
  const bool sign =
      type == ValueType::integer || type == ValueType::duration || type == ValueType::time;
  const bool less = sign ? static_cast<std::int64_t>(a.number) < static_cast<std::int64_t>(b.number)
                         : a.number < b.number;
  return less ? -1 : a.number == b.number ? 0 : 1;
}

void sort(const MapInfo& map, std::vector<MapRow>& rows) {
  const auto keys_before = [&](const MapRow& a, const MapRow& b) {
    for (std::size_t i = 0; i < a.keys.size() && i < b.keys.size(); ++i) {
      if (const int order = compare(a.keys[i], b.keys[i], map.keys[i]); order != 0)
        return order < 0;
    }
    return false;
  };
  std::sort(rows.begin(), rows.end(), [&](const MapRow& a, const MapRow& b) {
    if (has_buckets(map) || map.aggregate == Aggregate::stats) {
      if (a.count != b.count) return a.count > b.count;
      return keys_before(a, b);
    }
    const auto [va, type] = value_of(map, a);
    const auto vb = value_of(map, b).first;
    // Texts have no greatest: those go by their keys.
    if (!vmipl::is_textual(type)) {
      if (const int order = compare(va, vb, type); order != 0) return order > 0;
    }
    return keys_before(a, b);
  });
}

std::string pad(const std::string& text, unsigned width, bool right) {
  const auto have = columns_of(text);
  const std::string blanks(have < width ? width - have : 0, ' ');
  return right ? blanks + text : text + blanks;
}

struct Cell {
  std::string text;
  bool right = false;
};

/// The lines of a cell, a stack's without what indents them.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    const auto first = line.find_first_not_of(' ');
    if (first != std::string_view::npos) lines.push_back(line.substr(first));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// Rows of cells, each column as wide as its widest. Columns of several lines (stacks) stand
/// behind the others, below one another.
std::string table(const std::vector<std::vector<Cell>>& rows) {
  std::vector<unsigned> widths;
  std::vector<bool> tall;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    tall.resize(widths.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], columns_of(row[i].text));
      if (row[i].text.find('\n') != std::string::npos) tall[i] = true;
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line = " ";
    std::vector<std::string_view> below;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (tall[i]) {
        for (const auto one : lines_of(row[i].text)) below.push_back(one);
        continue;
      }
      line += line.size() == 1 ? " " : "  ";
      line += pad(row[i].text, widths[i], row[i].right);
    }
    const std::string indent(columns_of(line) + (line.size() == 1 ? 1 : 2), ' ');
    for (std::size_t i = 0; i < below.size(); ++i) {
      if (i == 0) line += line.size() == 1 ? " " : "  ";
      line += (i == 0 ? "" : '\n' + indent) + std::string(below[i]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + '\n';
  }
  return out;
}

/// A share of `width` columns, in eighths of a block.
std::string bar(std::uint64_t value, std::uint64_t most, unsigned width, bool utf8) {
  if (most == 0 || value == 0) return {};
  __extension__ using Wide = unsigned __int128;
  const auto eighths = static_cast<std::uint64_t>(Wide{value} * width * 8 / most);
  if (!utf8) return std::string(std::max<std::uint64_t>(eighths / 8, 1), '@');
  static constexpr const char* kParts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  std::string out;
  for (std::uint64_t i = 0; i < eighths / 8; ++i) out += "█";
  out += kParts[eighths % 8];
  return out.empty() ? kParts[1] : out;
}

/// A bound of a bucket, short: 512, 4K, 1.02us.
std::string bound(std::uint64_t value, const MapInfo& map) {
  if (map.value == ValueType::duration) return duration_words(static_cast<std::int64_t>(value));
  if (map.aggregate == Aggregate::linear)
    return is_signed(map) ? fmt::format("{}", static_cast<std::int64_t>(value))
                          : fmt::format("{}", value);
  static constexpr const char* kUnits[] = {"", "K", "M", "G", "T", "P", "E"};
  const auto bits = value == 0 ? 0U : static_cast<unsigned>(std::bit_width(value)) - 1;
  return fmt::format("{}{}", value >> (bits / 10 * 10), kUnits[bits / 10]);
}

struct Bucket {
  std::string from, to;  ///< empty: without an end
  std::uint64_t count = 0;
};

std::vector<Bucket> buckets_of(const MapInfo& map, const MapRow& row) {
  std::vector<Bucket> out;
  const auto last = row.buckets.size();
  for (std::size_t i = 0; i < last; ++i) {
    Bucket bucket{.count = row.buckets[i]};
    if (map.aggregate == Aggregate::histogram) {
      if (i == 0) {
        bucket.to = "0";
      } else if (i == 1) {
        bucket.from = bound(0, map);
        bucket.to = bound(1, map);
      } else {
        bucket.from = bound(1ULL << (i - 2), map);
        if (i - 1 < 64 && !(map.value == ValueType::duration && i - 1 == 63))
          bucket.to = bound(1ULL << (i - 1), map);
      }
    } else {
      const auto low = static_cast<std::uint64_t>(map.low),
                 step = static_cast<std::uint64_t>(map.step);
      if (i != 0)
        bucket.from = i == last - 1 ? bound(static_cast<std::uint64_t>(map.high), map)
                                    : bound(low + (i - 1) * step, map);
      if (i == 0)
        bucket.to = bound(low, map);
      else if (i < last - 1)
        bucket.to =
            bound(i == last - 2 ? static_cast<std::uint64_t>(map.high) : low + i * step, map);
    }
    out.push_back(std::move(bucket));
  }
  return out;
}

std::string bars(const MapInfo& map, const MapRow& row, const TextRules& rules) {
  auto all = buckets_of(map, row);
  const auto filled = [](const Bucket& bucket) { return bucket.count != 0; };
  const auto first = std::find_if(all.begin(), all.end(), filled);
  if (first == all.end()) return {};
  const auto last = std::find_if(all.rbegin(), all.rend(), filled).base();
  std::vector<Bucket> shown(first, last);
  unsigned from = 0, to = 0, count = 0;
  std::uint64_t most = 0;
  for (const auto& bucket : shown) {
    from = std::max(from, columns_of(bucket.from));
    to = std::max(to, columns_of(bucket.to));
    count = std::max(count, columns_of(fmt::format("{}", bucket.count)));
    most = std::max(most, bucket.count);
  }
  const unsigned used = 2 + 1 + from + 2 + to + 1 + 2 + count + 2;
  const unsigned room = rules.width > used + 10 ? std::min(rules.width - used, 60U) : 10;
  std::string out;
  for (const auto& bucket : shown) {
    // [from, to); an end that is not there stands open.
    auto line = fmt::format("  {}{}, {}{}  {:>{}}  {}", bucket.from.empty() ? "(" : "[",
                            pad(bucket.from, from, true), pad(bucket.to, to, true), ")",
                            bucket.count, count, bar(bucket.count, most, room, rules.utf8));
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + '\n';
  }
  return out;
}

std::string keys_text(const MapInfo& map, const MapRow& row, const TextRules& rules) {
  std::string out;
  for (std::size_t i = 0; i < row.keys.size(); ++i)
    out += (i == 0 ? "" : ", ") + words(row.keys[i].view(), map.keys[i], rules);
  return out;
}

std::vector<MapRow> greatest(const MapInfo& map, std::vector<MapRow> rows,
                             std::optional<std::uint64_t> top) {
  sort(map, rows);
  if (top && rows.size() > *top) rows.resize(static_cast<std::size_t>(*top));
  return rows;
}

}  // namespace

std::string map_words(const MapInfo& map, std::vector<MapRow> rows,
                      std::optional<std::uint64_t> top, std::uint64_t lost,
                      const TextRules& rules_given) {
  const auto rules = complete(rules_given);
  const auto total = rows.size();
  rows = greatest(map, std::move(rows), top);
  const auto number = [&](std::uint64_t value) {
    return Cell{words(ValueView::of(value), map.value, rules), true};
  };
  std::string out;
  if (rows.empty()) {
    out = fmt::format("@{}: {}\n", map.name, total == 0 ? "empty" : "nothing shown");
  } else if (has_buckets(map)) {
    for (const auto& row : rows) {
      out += map.keys.empty() ? fmt::format("@{}", map.name)
                              : fmt::format("@{}[{}]", map.name, keys_text(map, row, rules));
      out += fmt::format(": {} value{}, mean {}\n", row.count, row.count == 1 ? "" : "s",
                         words(ValueView::of(mean(map, row)), map.value, rules));
      out += bars(map, row, rules);
    }
  } else if (map.keys.empty() && map.aggregate != Aggregate::stats) {
    const auto [value, type] = value_of(map, rows.front());
    out = fmt::format("@{}: {}\n", map.name, words(value.view(), type, rules));
  } else {
    out = fmt::format("@{}:\n", map.name);
    std::vector<std::vector<Cell>> lines;
    if (map.aggregate == Aggregate::stats) {
      auto& head = lines.emplace_back();
      for (std::size_t i = 0; i < map.keys.size(); ++i) head.push_back({});
      for (const auto* name : {"count", "min", "mean", "max", "sum"}) head.push_back({name, true});
    }
    for (const auto& row : rows) {
      auto& line = lines.emplace_back();
      for (std::size_t i = 0; i < row.keys.size(); ++i)
        line.push_back({words(row.keys[i].view(), map.keys[i], rules), is_number(map.keys[i])});
      if (map.aggregate == Aggregate::stats) {
        line.push_back({fmt::format("{}", row.count), true});
        line.push_back(number(row.least));
        line.push_back(number(mean(map, row)));
        line.push_back(number(row.greatest));
        line.push_back(number(row.sum));
      } else {
        const auto [value, type] = value_of(map, row);
        line.push_back({words(value.view(), type, rules), !vmipl::is_textual(type)});
      }
    }
    out += table(lines);
  }
  if (rows.size() < total) out += fmt::format("  ({} more)\n", total - rows.size());
  if (lost != 0)
    out += fmt::format("  ({} {} no room and {} lost)\n", lost,
                       lost == 1 ? "change found" : "changes found", lost == 1 ? "is" : "are");
  return out;
}

bool append_map_json(std::string& out, const MapInfo& map, std::vector<MapRow> rows,
                     std::optional<std::uint64_t> top, std::uint64_t lost,
                     const TextRules& rules_given) {
  const auto rules = complete(rules_given);
  const auto total = rows.size();
  rows = greatest(map, std::move(rows), top);
  bool clean = true;
  out += "\"map\":";
  clean = rules.json(out, map.name) && clean;
  out +=
      fmt::format(",\"aggregation\":{}", map.aggregate == Aggregate::none
                                             ? "null"
                                             : fmt::format("\"{}\"", vmipl::name(map.aggregate)));
  out += ",\"entries\":[";
  const auto number = [&](std::string_view name, std::uint64_t value) {
    out += fmt::format(",\"{}\":", name);
    (void)append_json(out, ValueView::of(value), map.value, rules);
  };
  const auto edge = [&](std::string_view name, std::optional<std::uint64_t> value) {
    out += fmt::format("\"{}\":", name);
    if (!value)
      out += "null";
    else
      (void)append_json(out, ValueView::of(*value), map.value, rules);
    out += ',';
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    out += i == 0 ? "{\"key\":[" : ",{\"key\":[";
    for (std::size_t k = 0; k < row.keys.size(); ++k) {
      if (k != 0) out += ',';
      clean = append_json(out, row.keys[k].view(), map.keys[k], rules) && clean;
    }
    out += "],\"value\":";
    if (has_buckets(map) || map.aggregate == Aggregate::stats) {
      out += fmt::format("{{\"count\":{}", row.count);
      if (row.count != 0) {
        number("min", row.least);
        number("max", row.greatest);
        number("mean", mean(map, row));
      }
      number("sum", row.sum);
      if (has_buckets(map)) {
        out += ",\"buckets\":[";
        bool first = true;
        for (std::size_t b = 0; b < row.buckets.size(); ++b) {
          if (row.buckets[b] == 0) continue;
          if (!first) out += ',';
          first = false;
          out += '{';
          const auto last = row.buckets.size() - 1;
          if (map.aggregate == Aggregate::histogram) {
            edge("from", b == 0 ? std::nullopt
                                : std::optional<std::uint64_t>(b == 1 ? 0 : 1ULL << (b - 2)));
            edge("to", b == 0   ? std::optional<std::uint64_t>(0)
                       : b == 1 ? std::optional<std::uint64_t>(1)
                       : b == last || (b == 64 && is_signed(map))
                           ? std::nullopt
                           : std::optional<std::uint64_t>(1ULL << (b - 1)));
          } else {
            const auto low = static_cast<std::uint64_t>(map.low),
                       step = static_cast<std::uint64_t>(map.step),
                       high = static_cast<std::uint64_t>(map.high);
            edge("from",
                 b == 0 ? std::nullopt
                        : std::optional<std::uint64_t>(b == last ? high : low + (b - 1) * step));
            edge("to", b == 0 ? std::optional<std::uint64_t>(low)
                       : b == last
                           ? std::nullopt
                           : std::optional<std::uint64_t>(b == last - 1 ? high : low + b * step));
          }
          out += fmt::format("\"count\":{}}}", row.buckets[b]);
        }
        out += ']';
      }
      out += '}';
    } else {
      const auto [value, type] = value_of(map, row);
      clean = append_json(out, value.view(), type, rules) && clean;
    }
    out += '}';
  }
  out += fmt::format("],\"left_out\":{},\"lost\":{}", total - rows.size(), lost);
  return clean;
}

}  // namespace vitrine::probe
