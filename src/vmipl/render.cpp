#include "vmipl/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace vitrine::vmipl {
namespace {

// A character that a terminal would obey, or that would hide or turn around what stands beside it.
bool must_be_shown(const Character& c) {
  const auto in = [&](char32_t first, char32_t last) { return c.code >= first && c.code <= last; };
  return !c.valid || c.code < 0x20 || in(0x7f, 0x9f) || in(0x200b, 0x200f) || in(0x2028, 0x202e) ||
         in(0x2060, 0x2069) || c.code == 0xfeff || in(0xe0000, 0xe007f);
}

std::string visible(const Character& c) {
  return c.bytes == 1 ? fmt::format("\\x{:02x}", static_cast<unsigned>(c.code))
                      : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(c.code));
}

struct Cell {
  std::string text;
  unsigned width;
  std::uint32_t offset;  // of its first byte
};

// Of a long line, only what can be in sight: `from` is shown.
std::vector<Cell> cells_of(const Source& source, Span line, std::uint32_t from, unsigned width) {
  std::vector<Cell> cells;
  unsigned column = 0;
  const std::uint32_t reach = width * 8;
  std::uint32_t at = line.begin;
  if (from > line.begin + reach) {
    at = from - reach;
    // Not into the middle of a character.
    while (at < from && (static_cast<unsigned char>(source.text()[at]) & 0xc0) == 0x80) ++at;
  }
  const std::uint32_t end = line.end - at > 2 * reach ? at + 2 * reach : line.end;
  while (at < end) {
    const auto rest = source.text({at, line.end});
    const Character c = decode_utf8(rest);
    Cell cell{std::string(rest.substr(0, c.bytes)), 0, at};
    if (c.valid && c.code == '\t') {
      cell.width = 4 - column % 4;
      cell.text = std::string(cell.width, ' ');
    } else if (must_be_shown(c)) {
      cell.text = visible(c);
      cell.width = static_cast<unsigned>(cell.text.size());
    } else {
      cell.width = display_width(c.code);
    }
    column += cell.width;
    at += c.bytes;
    cells.push_back(std::move(cell));
  }
  return cells;
}

// Words of a diagnostic may quote the script: nothing of it reaches a terminal raw.
std::string clean(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character c = decode_utf8(text);
    if (must_be_shown(c)) {
      out += visible(c);
    } else {
      out += text.substr(0, c.bytes);
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

class Painter {
 public:
  explicit Painter(bool on) : on_(on) {}
  std::string operator()(std::string_view style, std::string_view text) const {
    if (!on_ || text.empty()) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", style, text);
  }

 private:
  bool on_;
};

constexpr std::string_view kBold = "1", kRed = "1;31", kYellow = "1;33", kBlue = "34",
                           kGreen = "32";

void excerpt(std::string& out, const Source& source, Span span, std::string_view label,
             unsigned gutter, char mark, std::string_view style, const RenderOptions& options,
             bool show_line = true) {
  const Painter paint(options.colour);
  const auto line =
      source.line_of(std::min(span.begin, static_cast<std::uint32_t>(source.text().size())));
  const Span whole = source.line_span(line);
  auto cells = cells_of(source, whole, std::min(span.begin, whole.end), options.width);
  const std::uint32_t end = std::min(span.end, whole.end);

  std::size_t first = 0;
  while (first < cells.size() && cells[first].offset < span.begin) ++first;
  unsigned before = 0;
  for (std::size_t i = 0; i < first; ++i) before += cells[i].width;

  // A line that does not fit is cut: the span's start stays in sight.
  std::string prefix;
  std::size_t from = 0;
  if (before > options.width * 2 / 3) {
    unsigned skipped = 0;
    while (from < first && before - skipped > options.width / 3) skipped += cells[from++].width;
    before = before - skipped + 3;
    prefix = "...";
  }
  std::string shown = prefix;
  unsigned width = static_cast<unsigned>(prefix.size());
  unsigned marked = 0;
  bool cut = false;
  for (std::size_t i = from; i < cells.size(); ++i) {
    if (width + cells[i].width > options.width) {
      cut = true;
      break;
    }
    shown += cells[i].text;
    width += cells[i].width;
    if (cells[i].offset >= span.begin && cells[i].offset < end) marked += cells[i].width;
  }
  if (cut) shown += "...";
  while (!shown.empty() && shown.back() == ' ') shown.pop_back();

  const bool more = span.end > whole.end && source.line_of(span.end == 0 ? 0 : span.end - 1) > line;
  if (show_line) {
    out += paint(kBlue, fmt::format(" {:>{}} |", line, gutter));
    if (!shown.empty()) out += ' ' + shown;
    out += '\n';
  }
  out += paint(kBlue, fmt::format(" {:>{}} |", "", gutter)) + ' ' + std::string(before, ' ');
  std::string marks(std::max(1U, marked), mark);
  if (more) marks += "...";
  if (!label.empty()) marks += ' ' + clean(label);
  out += paint(style, marks) + '\n';
}

}  // namespace

std::string render_text(const Source& source, const Diagnostic& diagnostic,
                        const RenderOptions& options) {
  const Painter paint(options.colour);
  const auto& code = info(diagnostic.code);
  const auto at = source.position(diagnostic.span.begin);
  const auto style = diagnostic.is_error() ? kRed : kYellow;
  std::uint32_t last = at.line;
  for (const auto& note : diagnostic.notes) last = std::max(last, source.line_of(note.span.begin));
  const auto gutter = static_cast<unsigned>(fmt::formatted_size("{}", last));

  std::string out =
      paint(kBold, fmt::format("{}:{}:{}: ", clean(source.name()), at.line, at.column));
  out +=
      paint(style, fmt::format("{} {}: ", diagnostic.is_error() ? "error" : "warning", code.code));
  out += paint(kBold, clean(diagnostic.message)) + '\n';
  excerpt(out, source, diagnostic.span, diagnostic.label, gutter, '^', style, options);
  auto shown = at.line;
  for (const auto& note : diagnostic.notes) {
    const auto line = source.line_of(note.span.begin);
    excerpt(out, source, note.span, note.text, gutter, '-', kBlue, options, line != shown);
    shown = line;
  }
  const auto line = [&](std::string_view head, std::string_view text, std::string_view colour) {
    if (text.empty()) return;
    out += paint(kBlue, fmt::format(" {:>{}} = ", "", gutter)) +
           paint(colour, fmt::format("{}: ", head));
    // Long lists go on under their beginning.
    const std::size_t indent = gutter + head.size() + 6;
    std::size_t column = indent;
    auto rest = clean(text);
    for (std::string_view words = rest; !words.empty();) {
      const auto end = std::min(words.find(' '), words.size());
      const bool first = column == indent;
      if (!first && column + 1 + end > std::max<std::size_t>(options.width, indent + 20)) {
        out += '\n' + std::string(indent, ' ');
        column = indent;
      } else if (!first) {
        out += ' ';
        ++column;
      }
      out += words.substr(0, end);
      column += end;
      words.remove_prefix(std::min(end + 1, words.size()));
    }
    out += '\n';
  };
  line("expected", diagnostic.expected, kGreen);
  line("hint", diagnostic.hint, kGreen);
  if (diagnostic.more > 0)
    line("more",
         fmt::format("{} further place{} with this mistake", diagnostic.more,
                     diagnostic.more == 1 ? "" : "s"),
         kBlue);
  if (diagnostic.fix) line("fix", diagnostic.fix->words, kGreen);
  if (!diagnostic.is_error())
    line("to silence", fmt::format("// vitrine: allow({})", code.name), kBlue);
  return out;
}

std::string render_text(const Source& source, const Diagnostics& diagnostics,
                        const RenderOptions& options) {
  std::string out;
  for (const auto& item : diagnostics.items()) out += render_text(source, item, options) + '\n';
  if (diagnostics.items().empty()) return out;
  const auto count = [](std::size_t n, std::string_view word) {
    return fmt::format("{} {}{}", n, word, n == 1 ? "" : "s");
  };
  std::vector<std::string> parts;
  if (diagnostics.errors() > 0) parts.push_back(count(diagnostics.errors(), "error"));
  if (diagnostics.warnings() > 0) parts.push_back(count(diagnostics.warnings(), "warning"));
  out += fmt::format("{}", fmt::join(parts, ", "));
  if (diagnostics.dropped() > 0)
    out += fmt::format("; {} more errors are not shown", diagnostics.dropped());
  if (diagnostics.errors() > 0) {
    for (const auto& item : diagnostics.items()) {
      if (!item.is_error()) continue;
      out += fmt::format("; `vitrine explain {}` says more", info(item.code).code);
      break;
    }
  }
  return out + '\n';
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const Character c = decode_utf8(text);
    if (!c.valid) {
      out += "\\ufffd";
    } else if (c.code == '"' || c.code == '\\') {
      out += '\\';
      out += static_cast<char>(c.code);
    } else if (c.code == '\n') {
      out += "\\n";
    } else if (c.code == '\t') {
      out += "\\t";
    } else if (c.code < 0x20 || c.code == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c.code));
    } else {
      out += text.substr(0, c.bytes);
    }
    text.remove_prefix(c.bytes);
  }
  return out + '"';
}

std::string render_json(const Source& source, const Diagnostics& diagnostics) {
  std::string out;
  const auto place = [&](Span span) {
    const auto begin = source.position(span.begin);
    const auto end = source.position(std::max(span.begin, span.end));
    return fmt::format(R"("line":{},"column":{},"end_line":{},"end_column":{})", begin.line,
                       begin.column, end.line, end.column);
  };
  for (const auto& item : diagnostics.items()) {
    const auto& code = info(item.code);
    out += fmt::format(
        R"({{"type":"diagnostic","file":{},{},"severity":"{}","code":"{}","name":"{}","message":{})",
        json_string(source.name()), place(item.span), item.is_error() ? "error" : "warning",
        code.code, code.name, json_string(item.message));
    if (!item.label.empty()) out += ",\"label\":" + json_string(item.label);
    if (!item.expected.empty()) out += ",\"expected\":" + json_string(item.expected);
    if (!item.hint.empty()) out += ",\"hint\":" + json_string(item.hint);
    if (item.fix) {
      out += fmt::format(R"(,"fix":{{{},"text":{},"words":{}}})", place(item.fix->span),
                         json_string(item.fix->text), json_string(item.fix->words));
    }
    if (!item.notes.empty()) {
      out += ",\"notes\":[";
      for (std::size_t i = 0; i < item.notes.size(); ++i) {
        out += fmt::format("{}{{{},\"text\":{}}}", i == 0 ? "" : ",", place(item.notes[i].span),
                           json_string(item.notes[i].text));
      }
      out += ']';
    }
    out += "}\n";
  }
  return out;
}

}  // namespace vitrine::vmipl
