// Print and Report: the format, and what it prints.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

void Compiler::print_or_report(const Expr& expr, const ProbeInfo& probe) {
  Site site{.line = source_.line_of(expr.span.begin)};
  site.probe = probe_index(probe);
  std::size_t at = 0;
  const auto kind = [&](std::size_t i) {
    return i < expr.args.size() ? script_.at(expr.args[i]).kind : Expr::Kind::bad;
  };
  if (probe.name == "Print") {
    if (kind(0) == Expr::Kind::output) site.output = output(expr.args[at++]);
  } else {
    const auto is_severity = [&](std::size_t i) {
      if (kind(i) != Expr::Kind::name) return false;
      const auto& word = script_.at(expr.args[i]).text;
      return find_moment("", word) == nullptr &&
             std::none_of(locals_.begin(), locals_.end(),
                          [&](const Local& local) { return local.name == word; }) &&
             !constants_.contains(word);
    };
    if (kind(0) == Expr::Kind::string && is_severity(1)) {
      const Expr& word = script_.at(expr.args[1]);
      const auto found = std::find(severities().begin(), severities().end(), word.text);
      if (found == severities().end()) {
        Diagnostic diagnostic{.code = Code::wrong_argument,
                              .span = word.span,
                              .message = fmt::format("{} is not a severity", word.text),
                              .expected = "info, low, medium, high or critical"};
        Nearest nearest(word.text);
        for (const auto severity : severities()) nearest.offer(severity);
        suggest(diagnostic, nearest, word.span);
        tell(std::move(diagnostic));
        broken_ = true;
      }
      site.symptom = script_.at(expr.args[0]).text;
      site.numbers = {static_cast<std::uint64_t>(found - severities().begin())};
      at = 2;
    } else if (symptom_ != nullptr) {
      site.symptom = symptom_->name;
      site.numbers = {symptom_severity_};
    } else {
      tell({.code = Code::argument_count,
            .span = expr.span,
            .message = "outside of a Symptom, Report says which symptom it is and how severe",
            .expected = "Report(\"name\", high, \"format\", values...)"});
      broken_ = true;
      return;
    }
  }
  if (at >= expr.args.size()) {
    tell({.code = Code::argument_count,
          .span = expr.span,
          .message = fmt::format("{} needs a format string", probe.name),
          .expected = signature(probe)});
    broken_ = true;
    return;
  }
  format(site, expr.args[at], expr.args, at + 1);
  program_.sites.push_back(std::move(site));
  emit(Opcode::emit, 0, 0, 0, static_cast<std::int32_t>(program_.sites.size() - 1));
}

/// An argument of a system call or function, or a pointer to characters: who prints it as text
/// means what it points to.
bool Compiler::points_to_text(const Value& value) const {
  if (value.argument) return true;
  const auto* types = options_.ports.types;
  return value.type.is(TypeKind::pointer) && value.type.has_guest && types != nullptr &&
         types->shape(value.type.guest).is_character;
}

void Compiler::format(Site& site, ExprId id, const std::vector<ExprId>& args, std::size_t first) {
  const auto format = expression(id);
  std::vector<Value> values;
  for (std::size_t i = first; i < args.size(); ++i) {
    auto value = expression(args[i]);
    value = rvalue(std::move(value));
    values.push_back(std::move(value));
  }
  if (format.type.is(TypeKind::error)) return;
  if (!format.type.is(TypeKind::text) || !format.constant) {
    const Expr& written = script_.at(id);
    Diagnostic diagnostic{.code = Code::not_constant,
                          .span = format.span,
                          .message = "the format is a string that stands in the script",
                          .fix = {}};
    if (format.type.textual() && values.empty())
      diagnostic.fix = Fix{written.span, fmt::format("\"%s\\n\", {}", source_.text(written.span)),
                           fmt::format("write Print(\"%s\\n\", {})", source_.text(written.span))};
    else
      diagnostic.expected = "Print(\"format\", values...)";
    if (written.kind == Expr::Kind::map)
      diagnostic.hint =
          fmt::format("a whole map is printed by print({})", source_.text(written.span));
    tell(std::move(diagnostic));
    broken_ = true;
    return;
  }
  site.format = format.text;
  const Span string = script_.at(id).kind == Expr::Kind::string ? script_.at(id).span : format.span;
  // Where a directive stands in the script: exact while the string has no escapes before it.
  const auto raw = source_.text(string);
  std::size_t raw_at = 0;
  const auto locate = [&](std::string_view directive) {
    const auto found = raw.find(directive, raw_at);
    if (found == std::string_view::npos) return string;
    raw_at = found + directive.size();
    const auto begin = string.begin + static_cast<std::uint32_t>(found);
    return Span{begin, begin + static_cast<std::uint32_t>(directive.size())};
  };
  std::size_t next = 0;
  const auto& text = format.text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    const auto begin = i++;
    bool longs = false;
    while (i < text.size() && std::string_view("-+ #0").find(text[i]) != std::string_view::npos)
      ++i;
    const auto digits = [&] {
      std::size_t number = 0;
      while (i < text.size() && text[i] >= '0' && text[i] <= '9')
        number =
            std::min<std::size_t>(number * 10 + static_cast<std::size_t>(text[i++] - '0'), 100000);
      return number;
    };
    std::size_t width = digits();
    if (i < text.size() && text[i] == '.') {
      ++i;
      width = std::max(width, digits());
    }
    const auto lengths = i;
    while (i < text.size() && std::string_view("lhjz").find(text[i]) != std::string_view::npos) {
      ++i;
      longs = true;
    }
    const char directive = i < text.size() ? text[i] : '\0';
    const bool letter = (directive >= 'a' && directive <= 'z') ||
                        (directive >= 'A' && directive <= 'Z') || directive == '%';
    const auto whole =
        std::string_view(text).substr(begin, std::min(letter ? i + 1 : i, text.size()) - begin);
    const Span span = locate(whole);
    if (directive == '%' && whole.size() == 2) continue;
    if (std::string_view("duxXobpsct").find(directive) == std::string_view::npos ||
        directive == '\0' || width > 1000) {
      std::optional<Fix> fix;
      if (span.size() == whole.size() && width <= 1000) {
        const auto ours = directive == 'i'    ? std::string(whole.substr(0, whole.size() - 1)) + "d"
                          : whole.size() == 1 ? "%%"
                                              : "";
        if (!ours.empty()) fix = Fix{span, ours, fmt::format("write {}", ours)};
      }
      tell({.code = Code::format_unknown,
            .span = span,
            .message = width > 1000        ? "a field is at most 1000 wide"
                       : whole.size() == 1 ? "this % begins a directive that is not there"
                                           : fmt::format("there is no directive {}", whole),
            .expected = "%d %u %x %X %o %b %p %s %c %t %%",
            .hint = width > 1000 || directive == 'i' ? ""
                    : directive == 'f'               ? "there are no fractions"
                                                     : "a percent sign is %%",
            .fix = std::move(fix)});
      broken_ = true;
      ++next;
      continue;
    }
    if (longs) {
      auto plain = std::string(whole.substr(0, lengths - begin)) + directive;
      tell({.code = Code::format_unknown,
            .span = span,
            .message = fmt::format("{}: numbers have no length here", whole),
            .fix = Fix{span, plain, fmt::format("write {}", plain)}});
      broken_ = true;
      ++next;
      continue;
    }
    if (next >= values.size()) {
      std::size_t total = 0;
      for (std::size_t j = 0; j + 1 < text.size(); ++j) {
        if (text[j] == '%') total += text[++j] != '%';
      }
      tell({.code = Code::format_count,
            .span = span,
            .message = fmt::format("{} has no argument: the format takes {}, here {} {}", whole,
                                   total, values.size() == 1 ? "is" : "are", values.size())});
      broken_ = true;
      return;
    }
    const auto& value = values[next++];
    if (value.type.open()) continue;
    const auto k = value.type.kind;
    const bool word = k == TypeKind::integer || k == TypeKind::address || k == TypeKind::pointer;
    bool fits = true;
    switch (directive) {
      case 'd':
      case 'u':
        fits = k == TypeKind::integer || k == TypeKind::boolean || k == TypeKind::duration ||
               k == TypeKind::time;
        break;
      case 'x':
      case 'X':
        fits = word || k == TypeKind::bytes;
        break;
      case 'o':
      case 'b':
      case 'c':
        fits = k == TypeKind::integer;
        break;
      case 'p':
        fits = word;
        break;
      case 't':
        fits = k == TypeKind::time;
        break;
      default:
        break;
    }
    if (directive == 's' && points_to_text(value)) {
      const auto written = source_.text(value.span);
      const auto meant = fmt::format("string({})", written);
      tell({.code = Code::format_type,
            .span = value.span,
            .message = fmt::format("%s prints {} as a number, not the text it may point to",
                                   quote(value.span)),
            .hint = fmt::format("the number itself is printed by {}",
                                value.argument ? "%d or %x" : "%x"),
            .fix = Fix{value.span, meant, fmt::format("write {}", meant)},
            .notes = {{span, "by this directive"}}});
      broken_ = true;
      continue;
    }
    if (!fits) {
      Diagnostic diagnostic{
          .code = Code::format_type,
          .span = value.span,
          .message = fmt::format("{} prints {}; this is {}", whole,
                                 directive == 't' ? "a time" : "a number", describe(k)),
          .notes = {{span, "by this directive"}}};
      const std::string better =
          std::string(whole.substr(0, whole.size() - 1)) + (k == TypeKind::integer         ? "d"
                                                            : word || k == TypeKind::bytes ? "x"
                                                                                           : "s");
      if (directive == 't')
        diagnostic.hint = "a duration is printed by %s";
      else if (span.size() == whole.size())
        diagnostic.fix = Fix{span, better, fmt::format("write {}", better)};
      tell(std::move(diagnostic));
      broken_ = true;
    }
  }
  if (next < values.size()) {
    tell({.code = Code::format_count,
          .span = values[next].span,
          .message = fmt::format("the format takes {} argument{}, here {} {}",
                                 next == 0 ? "no" : fmt::format("{}", next), next == 1 ? "" : "s",
                                 values.size() == 1 ? "is" : "are", values.size()),
          .label = "nothing prints this",
          .hint = text.find("{}") != std::string::npos
                      ? "a value is printed by %s, %d or %x, not by {}"
                      : "",
          .notes = {{string, "the format"}}});
    broken_ = true;
    return;
  }
  for (auto& value : values) operand(site, std::move(value));
}

}  // namespace vitrine::vmipl
