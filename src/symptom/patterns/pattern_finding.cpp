#include "symptom/patterns/pattern_finding.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace vitrine::symptom {
namespace {

/// " in /usr/sbin/nginx r-xp"
std::string mapping_of(std::int64_t pid, std::uint64_t address, ViewCache& views) {
  const auto& maps = views.read("maps");
  const auto pid_at = maps.place("pid"), start_at = maps.place("start"), end_at = maps.place("end");
  for (const auto& row : maps.rows) {
    const auto* owner = std::get_if<std::int64_t>(&row[pid_at]);
    const auto* start = std::get_if<std::uint64_t>(&row[start_at]);
    const auto* end = std::get_if<std::uint64_t>(&row[end_at]);
    if (owner == nullptr || start == nullptr || end == nullptr || *owner != pid ||
        address < *start || address >= *end)
      continue;
    const auto text = [&](std::string_view column) {
      return evidence_text(row[maps.place(column)], linux::ColumnType::text);
    };
    const auto path = text("path");
    return fmt::format(" in {} {}", path.empty() ? "anonymous memory" : path, text("permissions"));
  }
  return {};
}

}  // namespace

Finding pattern_finding(const PatternHit& hit, std::optional<std::int64_t> pid,
                        const std::string& process, ViewCache& views) {
  Finding finding;
  finding.symptom = fmt::format("pattern_{}", hit.rule);
  finding.severity = hit.severity;
  finding.technique = hit.technique.substr(0, Finding::kMaxText);
  finding.summary =
      hit.summary.empty() ? "memory matches a YARA rule" : hit.summary.substr(0, Finding::kMaxText);
  finding.rule = hit.rule;
  finding.pid = pid;
  finding.process = process;
  for (const auto& match : hit.matches) {
    if (finding.addresses.size() == Finding::kMaxItems) break;
    finding.addresses.push_back(match.offset);
    if (finding.bytes.empty()) finding.bytes = match.bytes;
    if (finding.evidence.size() + 1 < Finding::kMaxItems)
      finding.evidence.emplace_back(
          match.string, fmt::format("{:#x}{}", match.offset,
                                    pid ? mapping_of(*pid, match.offset, views) : " (physical)"));
  }
  finding.message =
      pid ? fmt::format("{} (pid {}): {} matches", process, *pid, hit.match_count)
          : fmt::format("the kernel's memory or nobody's: {} matches", hit.match_count);
  const auto key = fmt::format("{}\n{}", finding.symptom, pid.value_or(-1));
  finding.identity = XXH3_64bits(key.data(), key.size());
  return finding;
}

}  // namespace vitrine::symptom
