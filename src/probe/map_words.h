// Maps in print: aligned tables, histograms as bars; and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "probe/map_store.h"
#include "probe/words.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// Greatest first (histograms and stats: by count), equal ones by key; `top` of them if given.
/// Ends with a newline. Says how many entries it left out, and how many the map lost.
[[nodiscard]] std::string map_words(const vmipl::MapInfo& map, std::vector<MapRow> rows,
                                    std::optional<std::uint64_t> top, std::uint64_t lost,
                                    const TextRules& rules);

/// The members of an object, without its braces: "map":"opens","entries":[...],"lost":0.
/// @returns false if text was escaped
bool append_map_json(std::string& out, const vmipl::MapInfo& map, std::vector<MapRow> rows,
                     std::optional<std::uint64_t> top, std::uint64_t lost, const TextRules& rules);

}  // namespace vitrine::probe
