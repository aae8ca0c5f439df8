#include "cli/plan_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/help.h"

namespace vitrine::cli {
namespace {

constexpr unsigned kInAPipe = 80;
constexpr unsigned kMostProbe = 24;
constexpr unsigned kLeastWords = 24;

struct Line {
  std::string number, probe, source, cost, how, why;
};

/// `text` in a column that begins at `indent`; the first line begins where the cursor is.
std::string fitted(std::string_view text, unsigned width, unsigned indent) {
  auto lines = hanging(text, width, indent);
  for (auto at = lines.find(" \n"); at != std::string::npos;
       at = lines.find(" \n", at > 0 ? at - 1 : 0)) {
    lines.erase(at, 1);
  }
  return lines;
}

std::string padded(std::string_view text, unsigned width) {
  const auto has = display_width(text);
  return std::string(text) + std::string(has < width ? width - has : 0, ' ');
}

std::string coverage(const probe::Offer& offer) {
  return offer.coverage == probe::Coverage::between ? "not every event: looks are compared" : "";
}

std::string joined(std::initializer_list<std::string> parts) {
  std::string out;
  for (const auto& part : parts) {
    if (part.empty()) continue;
    if (!out.empty()) out += "; ";
    out += part;
  }
  return out;
}

void append(std::string& out, std::string_view key, std::string_view text) {
  out += fmt::format(",\"{}\":", key);
  append_json(out, escape_invalid(text));
}

void append(std::string& out, const probe::Offer& offer) {
  append(out, "mechanism", offer.mechanism);
  if (offer.possible) {
    append(out, "cost", probe::name(offer.cost));
    out += fmt::format(",\"every_event\":{}", offer.coverage == probe::Coverage::every);
  } else {
    out += ",\"cost\":null,\"every_event\":null";
  }
  append(out, "reason", offer.reason);
  append(out, "remedy", offer.remedy);
}

}  // namespace

std::string plan_table(const probe::Plan& plan, const Console& console) {
  if (plan.probes.empty()) return {};
  std::vector<Line> lines{{"LINE", "PROBE", "SOURCE", "COST", "HOW", ""}};
  for (const auto& probe : plan.probes) {
    const auto& offer = probe.offer;
    const auto safe = [&](std::string_view text) { return escape(text, console.charset); };
    Line line{.number = std::to_string(probe.line),
              .probe = shorten_middle(safe(probe.written), kMostProbe, console.charset),
              .source = probe.source ? safe(probe.source_name) : "refused",
              .cost = probe.source ? std::string(probe::name(offer.cost)) : "-",
              .how = safe(probe.source ? offer.mechanism : offer.reason),
              .why = probe.source
                         ? safe(joined({offer.reason, coverage(offer)}))
                         : safe(offer.remedy.empty() ? "" : "to have it: " + offer.remedy)};
    lines.push_back(std::move(line));
  }
  unsigned number = 0, name = 0, source = 0, cost = 0;
  for (const auto& line : lines) {
    number = std::max(number, display_width(line.number));
    name = std::max(name, display_width(line.probe));
    source = std::max(source, display_width(line.source));
    cost = std::max(cost, display_width(line.cost));
  }
  const unsigned indent = number + name + source + cost + 8;
  const unsigned width =
      std::max(console.width == 0 ? kInAPipe : console.width, indent + kLeastWords);
  std::string out;
  for (const auto& line : lines) {
    const bool refused = line.source == "refused";
    out += std::string(number - display_width(line.number), ' ') + line.number + "  " +
           padded(line.probe, name) + "  " +
           (refused ? console.bold(padded(line.source, source)) : padded(line.source, source)) +
           "  " + padded(line.cost, cost) + "  " + fitted(line.how, width, indent) + "\n";
    if (!line.why.empty())
      out += std::string(indent, ' ') + console.dim(fitted(line.why, width, indent)) + "\n";
  }
  return out;
}

std::string plan_json(const probe::Plan& plan, std::string_view file,
                      std::span<probe::EventSource* const> sources) {
  std::string out;
  for (const auto& probe : plan.probes) {
    out += "{\"type\":\"probe\"";
    append(out, "file", file);
    out += fmt::format(",\"line\":{}", probe.line);
    append(out, "probe", probe.written);
    if (probe.source)
      append(out, "source", probe.source_name);
    else
      out += ",\"source\":null";
    append(out, probe.offer);
    out += ",\"others\":[";
    bool first = true;
    for (const auto& other : probe.others) {
      out += first ? "{\"source\":" : ",{\"source\":";
      append_json(out, other.source < sources.size() ? escape_invalid(sources[other.source]->name())
                                                     : "clock");
      out += fmt::format(",\"possible\":{}", other.offer.possible);
      append(out, other.offer);
      out += '}';
      first = false;
    }
    out += "]}\n";
  }
  return out;
}

}  // namespace vitrine::cli
