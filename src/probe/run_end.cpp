// RunSession: what a program tells when it ends: its maps, what fired, what was lost.
#include <fmt/format.h>

#include <utility>

#include "probe/map_words.h"
#include "probe/record_words.h"
#include "probe/run_generation.h"

namespace vitrine::probe {

void RunSession::print_map(Generation& generation, unsigned map, std::optional<std::uint64_t> top) {
  const auto& info = generation.program->maps[map];
  const auto lost = generation.maps->lost(map);
  if (lost != 0) complete_ = false;
  if (!options_.json) {
    (void)outputs_.write_line(
        map_words(info, generation.maps->snapshot(map), top, lost, options_.rules));
    return;
  }
  auto line = json_head("map", wall_now()) + ',';
  if (!append_map_json(line, info, generation.maps->snapshot(map), top, lost, options_.rules))
    line += ",\"escaped\":[\"entries\"]";
  (void)outputs_.write_line(line + "}\n");
}

// The maps, and what was counted.
void RunSession::finish(Generation& generation) {
  const auto& program = *generation.program;
  for (unsigned i = 0; i < program.maps.size(); ++i) print_map(generation, i, std::nullopt);
  std::vector<std::string> words;
  for (std::size_t i = 0; i < program.probes.size(); ++i) {
    const auto& count = generation.counts[i];
    if (count.over_budget != 0)
      words.push_back(fmt::format("line {}: {} ran out of its budget in {} of {} firings",
                                  program.probes[i].line, written(program.probes[i]),
                                  count.over_budget, count.fired));
  }
  std::vector<std::string> asides;  // of sources that lost nothing
  std::uint64_t malformed = 0, delivered = 0, stale = 0;
  {
    const std::lock_guard lock(records_mutex_);
    malformed = malformed_;
    delivered = delivered_;
    stale = stale_records_;
  }
  std::uint64_t lost_records = malformed + stale, lost_firings = stale_, late = late_;
  if (malformed != 0)
    words.push_back(
        fmt::format("{} records were none: what sent them is broken, or forged", malformed));
  if (stale != 0) words.push_back(fmt::format("{} records came of no program that runs", stale));
  if (stale_ != 0)
    words.push_back(fmt::format("{} firing{} came after their script was replaced", stale_,
                                stale_ == 1 ? "" : "s"));
  if (away_times_ != 0) {
    words.push_back(fmt::format("the guest was started anew {}: {:.1f} s of it were not seen",
                                away_times_ == 1 ? "once" : fmt::format("{} times", away_times_),
                                static_cast<double>(away_ns_) / 1e9));
  }
  if (away_since_ns_) words.emplace_back("the guest's kernel had ended, and no other was up yet");
  if (away_firings_ != 0) {
    words.push_back(
        fmt::format("{} firing{} came while no kernel was there: their blocks did not run",
                    away_firings_, away_firings_ == 1 ? "" : "s"));
    lost_firings += away_firings_;
  }
  auto all_losses = std::exchange(losses_before_, {});
  for (auto* source : started_) all_losses.emplace_back(source->name(), source->losses());
  for (const auto& [name, losses] : all_losses) {
    lost_records += losses.records;
    lost_firings += losses.firings;
    late += losses.late;
    const bool lost = losses.records + losses.firings != 0;
    for (const auto& said : losses.words) {
      auto whole = said.starts_with(name) ? said : fmt::format("{}: {}", name, said);
      (lost ? words : asides).push_back(std::move(whole));
    }
    if (losses.words.empty() && losses.records + losses.firings != 0)
      words.push_back(fmt::format("{}: {} records and {} firings were lost", name, losses.records,
                                  losses.firings));
  }
  const auto output_losses = outputs_.losses();
  for (const auto& loss : output_losses)
    words.push_back(fmt::format("{}: {} record{} lost: {}", loss.output, loss.records,
                                loss.records == 1 ? "" : "s", loss.reason));
  for (const auto& [failure, times] : failures_) {
    if (times > 1) words.push_back(fmt::format("{} ({} times)", failure, times));
  }
  const auto& views = generation.environment->views();
  for (const auto& said : views.words) words.push_back(said);
  if (views.doubtful + views.dropped != 0)
    words.push_back(fmt::format("views: {} doubtful rows, {} that could not be read",
                                views.doubtful, views.dropped));
  if (!words.empty()) complete_ = false;
  if (!options_.json) {
    std::string fired;
    for (std::size_t i = 0; i < program.probes.size(); ++i) {
      if (by_the_clock(program.probes[i]) &&
          (vmipl::probes()[program.probes[i].probe].name == "Start" ||
           vmipl::probes()[program.probes[i].probe].name == "Stop"))
        continue;
      if (generation.counts[i].fired == 0) continue;
      fired += fmt::format("{}{} (line {}) {}", fired.empty() ? "fired: " : ", ",
                           written(program.probes[i]), program.probes[i].line,
                           generation.counts[i].fired);
    }
    if (!fired.empty()) outputs_.remark(fired);
    for (const auto& said : asides) outputs_.remark(said);
    for (const auto& said : words) outputs_.remark("! " + said);
    return;
  }
  auto line = json_head("end", wall_now());
  line += fmt::format(
      ",\"seconds\":{:.3f},\"records\":{},\"lost_records\":{},\"lost_firings\":{},"
      "\"late_turns\":{},\"probes\":[",
      static_cast<double>(monotonic_now() - started_ns_) / 1e9, delivered, lost_records,
      lost_firings, late);
  for (std::size_t i = 0; i < program.probes.size(); ++i) {
    line += fmt::format("{}{{\"probe\":{},\"event\":", i == 0 ? "" : ",", i + 1);
    (void)options_.rules.json(line, written(program.probes[i]));
    line += fmt::format(",\"line\":{},\"fired\":{},\"over_budget\":{}}}", program.probes[i].line,
                        generation.counts[i].fired, generation.counts[i].over_budget);
  }
  line += fmt::format("],\"restarts\":{},\"unseen_seconds\":{:.3f},\"outputs\":[", away_times_,
                      static_cast<double>(away_ns_) / 1e9);
  for (std::size_t i = 0; i < output_losses.size(); ++i) {
    line += i == 0 ? "{\"output\":" : ",{\"output\":";
    (void)options_.rules.json(line, output_losses[i].output);
    line += fmt::format(",\"lost\":{},\"reason\":", output_losses[i].records);
    (void)options_.rules.json(line, output_losses[i].reason);
    line += '}';
  }
  line += "],\"words\":[";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) line += ',';
    (void)options_.rules.json(line, words[i]);
  }
  for (std::size_t i = 0; i < asides.size(); ++i) {
    if (i + words.size() != 0) line += ',';
    (void)options_.rules.json(line, asides[i]);
  }
  (void)outputs_.write_line(line + "]}\n");
}

}  // namespace vitrine::probe
