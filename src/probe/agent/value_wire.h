// Values and the rows of maps, as messages and plans carry them.
#pragma once

#include <vector>

#include "probe/map_store.h"
#include "probe/value.h"
#include "probe/wire.h"

namespace vitrine::probe {

inline constexpr std::size_t kWireValueLeast = 1 + 8 + 4;  ///< bytes of the shortest value

void put_value(WireWriter& out, const Value& value);
[[nodiscard]] Value get_value(WireReader& in);

void put_values(WireWriter& out, const std::vector<Value>& values);
[[nodiscard]] std::vector<Value> get_values(WireReader& in);

/// Whether rows fit a map is LocalMaps::restore()'s to say.
void put_rows(WireWriter& out, const std::vector<MapRow>& rows);
[[nodiscard]] std::vector<MapRow> get_rows(WireReader& in);

}  // namespace vitrine::probe
