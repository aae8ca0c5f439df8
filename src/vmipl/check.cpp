#include "vmipl/check.h"

#include <fmt/format.h>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {
namespace {

// Where an allowance holds: its own line; alone on a line, the next one too, and all of an
// item that begins there.
Span reach(const Source& source, const Script& script, const Allowance& allowance) {
  const auto line = source.line_of(allowance.comment.begin);
  Span reach = source.line_span(line);
  if (!allowance.own_line) return reach;
  // Further comment lines may stand between.
  auto next = source.line_of(allowance.comment.end > 0 ? allowance.comment.end - 1 : 0) + 1;
  const auto blank = [&](std::uint32_t at) {
    const auto text = source.text(source.line_span(at));
    const auto first = text.find_first_not_of(" \t");
    return first == std::string_view::npos || text.substr(first).starts_with("//");
  };
  while (next <= source.lines() && blank(next)) ++next;
  const Span following = source.line_span(next);
  reach.end = following.end;
  for (const auto& item : script.items) {
    if (item.span.begin >= following.begin && item.span.begin <= following.end)
      reach.end = std::max(reach.end, item.span.end);
  }
  return reach;
}

}  // namespace

Checked check(const Source& source, const CheckOptions& options, Diagnostics& diagnostics) {
  Checked checked{.parsed = parse(source, diagnostics), .probes = {}, .program = {}};
  auto& parsed = checked.parsed;
  const bool torn = diagnostics.errors() > 0;
  Compiler compiler(source, parsed.script, options, diagnostics);
  checked.program = compiler.run();
  checked.probes = compiler.checked();
  if (diagnostics.errors() > 0) checked.program.reset();
  for (const auto& allowance : parsed.allowances) {
    diagnostics.silence(allowance.names, reach(source, parsed.script, allowance));
    for (std::size_t i = 0; i < allowance.names.size(); ++i) {
      const auto& name = allowance.names[i];
      const auto* code = find_code(name);
      if (name == "all" ||
          (code != nullptr && code->name == name && code->severity == Severity::warning))
        continue;
      Nearest nearest(name);
      for (const auto& candidate : all_codes()) {
        if (candidate.severity == Severity::warning) nearest.offer(candidate.name);
      }
      Diagnostic diagnostic{.code = Code::unknown_warning,
                            .span = allowance.spans[i],
                            .message = code != nullptr
                                           ? fmt::format("{} is not the name of a warning", name)
                                           : fmt::format("there is no warning called {}", name)};
      if (nearest.found()) {
        diagnostic.label = fmt::format("did you mean {}?", nearest.best());
        diagnostic.fix =
            Fix{allowance.spans[i], nearest.best(), fmt::format("write {}", nearest.best())};
      }
      diagnostics.add(std::move(diagnostic));
    }
  }
  // Of a script that could not be read whole, nobody knows what is used and what does nothing.
  if (torn) {
    static const std::vector<std::string> kNoise{
        "unused-let",   "unused-const",  "unused-fn",       "unused-parameter",
        "unused-row",   "unwritten-map", "no-effect",       "empty-block",
        "empty-script", "unreachable",   "unchecked-symbol"};
    diagnostics.silence(kNoise);
  }
  diagnostics.silence(options.allow);
  diagnostics.sort();
  return checked;
}

}  // namespace vitrine::vmipl
