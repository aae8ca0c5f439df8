#include "probe/agent/value_wire.h"

namespace vitrine::probe {

void put_value(WireWriter& out, const Value& value) {
  out.put(static_cast<std::uint8_t>((value.there ? 1 : 0) | (value.textual ? 2 : 0)));
  out.put(value.number);
  out.put_text(value.text);
}

Value get_value(WireReader& in) {
  Value value;
  const auto flags = in.get<std::uint8_t>();
  value.there = (flags & 1) != 0;
  value.textual = (flags & 2) != 0;
  value.number = in.get<std::uint64_t>();
  value.text = in.get_text();
  return value;
}

void put_values(WireWriter& out, const std::vector<Value>& values) {
  out.put(static_cast<std::uint32_t>(values.size()));
  for (const auto& value : values) put_value(out, value);
}

std::vector<Value> get_values(WireReader& in) {
  std::vector<Value> values(in.get_count(kWireValueLeast));
  for (auto& value : values) value = get_value(in);
  return values;
}

void put_rows(WireWriter& out, const std::vector<MapRow>& rows) {
  out.put(static_cast<std::uint32_t>(rows.size()));
  for (const auto& row : rows) {
    put_values(out, row.keys);
    put_value(out, row.value);
    out.put(row.count);
    out.put(row.sum);
    out.put(row.least);
    out.put(row.greatest);
    out.put_list(row.buckets);
  }
}

std::vector<MapRow> get_rows(WireReader& in) {
  std::vector<MapRow> rows;
  const auto count = in.get_count(4 + kWireValueLeast + 4 * 8 + 4);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    MapRow row;
    row.keys = get_values(in);
    row.value = get_value(in);
    row.count = in.get<std::uint64_t>();
    row.sum = in.get<std::uint64_t>();
    row.least = in.get<std::uint64_t>();
    row.greatest = in.get<std::uint64_t>();
    row.buckets = in.get_list<std::uint64_t>();
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace vitrine::probe
