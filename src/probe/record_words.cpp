#include "probe/record_words.h"

#include <fmt/format.h>

#include <algorithm>

#include "probe/block_needs.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

using vmipl::Site;
using vmipl::ValueType;

std::string upper(std::string_view name) {
  std::string out(name);
  for (auto& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return out;
}

std::string hex_or_missing(const Value& value, unsigned digits = 16) {
  return value.there ? fmt::format("0x{:0{}x}", value.number, digits) : "?";
}

/// The values behind the operands.
std::span<const Value> data_of(const Site& site, const Record& record) {
  const auto operands = std::min(site.operands.size(), record.values.size());
  return std::span(record.values).subspan(operands);
}

constexpr std::string_view kSegmentParts[] = {"selector", "base", "limit", "attributes"};
constexpr std::string_view kTableParts[] = {"base", "limit"};

std::span<const std::string_view> parts_of(const Site& site) {
  const auto kind = vmipl::registers()[static_cast<std::size_t>(site.numbers[0])].kind;
  if (kind == vmipl::RegisterInfo::segment) return kSegmentParts;
  if (kind == vmipl::RegisterInfo::table) return kTableParts;
  return {};
}

std::string register_text(const Site& site, std::span<const Value> data) {
  const auto name = upper(vmipl::registers()[static_cast<std::size_t>(site.numbers[0])].name);
  const auto parts = parts_of(site);
  if (parts.empty())
    return fmt::format("{}={}", name, data.empty() ? "?" : hex_or_missing(data[0]));
  std::string out = name;
  for (std::size_t i = 0; i < parts.size(); ++i)
    out +=
        fmt::format(" {}={}", parts[i],
                    i < data.size() ? hex_or_missing(data[i], parts[i] == "base" ? 16 : 1) : "?");
  return out;
}

/// As hex dumps are: sixteen bytes a line, from the second on indented.
std::string memory_text(const Value& address, const Value& bytes) {
  const auto at = hex_or_missing(address);
  if (!bytes.there) return at + ": ?";
  std::string out;
  if (bytes.text.size() > 16) out = fmt::format("{}: {} bytes", at, bytes.text.size());
  for (std::size_t i = 0; i < bytes.text.size(); i += 16) {
    const auto line = std::string_view(bytes.text).substr(i, 16);
    std::string hex, plain;
    for (std::size_t k = 0; k < line.size(); ++k) {
      const auto byte = static_cast<unsigned char>(line[k]);
      hex += fmt::format("{}{:02x}", k == 8 ? "  " : k == 0 ? "" : " ", byte);
      plain += byte >= 0x20 && byte < 0x7f ? line[k] : '.';
    }
    const bool single = bytes.text.size() <= 16;
    if (!single) out += "\n  ";
    out += fmt::format("0x{:016x}  {:{}}  |{}|", address.number + i, hex, single ? 0 : 48, plain);
  }
  return out.empty() ? at + ": no bytes" : out;
}

std::string list_text(const Site& site, std::span<const Value> data, const TextRules& rules) {
  std::vector<std::vector<std::string>> rows(1);
  std::vector<bool> right;
  for (const auto field : site.numbers) {
    const auto name = vmipl::process_list_fields()[static_cast<std::size_t>(field)];
    rows[0].emplace_back(name);
    right.push_back(name == "PID");
  }
  const auto columns = rows[0].size();
  for (std::size_t i = 0; i + columns <= data.size(); i += columns) {
    auto& row = rows.emplace_back();
    for (std::size_t c = 0; c < columns; ++c) {
      const auto& value = data[i + c];
      const auto name = rows[0][c];
      row.push_back(!value.there    ? "-"
                    : value.textual ? rules.escape(value.text)
                    : name == "PID" ? fmt::format("{}", static_cast<std::int64_t>(value.number))
                                    : hex_or_missing(value));
    }
  }
  std::vector<std::size_t> widths(columns);
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < columns; ++c)
      widths[c] = std::max<std::size_t>(widths[c], columns_of(row[c]));
  }
  std::string out = fmt::format("{} processes", rows.size() - 1);
  for (const auto& row : rows) {
    std::string line = "\n ";
    for (std::size_t c = 0; c < columns; ++c) {
      const std::string blanks(widths[c] - columns_of(row[c]), ' ');
      line += ' ' + (right[c] ? blanks + row[c] : row[c] + blanks);
    }
    while (line.ends_with(' ')) line.pop_back();
    out += line;
  }
  return out;
}

std::string vmcs_text(const Site& site, std::span<const Value> data) {
  std::string out;
  for (std::size_t i = 0; i < site.numbers.size(); ++i) {
    out += fmt::format("{}{}={}", i == 0 ? "" : " ",
                       vmipl::vmcs_fields()[static_cast<std::size_t>(site.numbers[i])],
                       i < data.size() ? hex_or_missing(data[i], 1) : "?");
  }
  return out;
}

std::string data_text(const Site& site, std::string_view name, const Record& record,
                      const TextRules& rules) {
  const auto data = data_of(site, record);
  static const Value kMissing;
  const auto value = [&](std::span<const Value> from, std::size_t i) -> const Value& {
    return i < from.size() ? from[i] : kMissing;
  };
  if (name == "ReadRegister") return register_text(site, data);
  if (name == "ReadMemory") return memory_text(value(record.values, 0), value(data, 0));
  if (name == "ReadMemoryAt") return memory_text(value(data, 0), value(data, 1));
  if (name == "ProcessList") return list_text(site, data, rules);
  if (name == "ReadVMCS") return vmcs_text(site, data);
  return {};
}

/// "12:34:56.789012 cpu0 1234 bash": when and where, for lines of reports and data probes.
std::string line_head(const RecordHead& head, bool in_file, const TextRules& rules) {
  auto time = time_words(head.wall_ns);
  std::string out = in_file ? time : time.substr(11, 15);
  if (head.cpu != RecordHead::kHostCpu) out += fmt::format(" cpu{}", head.cpu);
  if (head.pid >= 0) out += fmt::format(" {}[{}]", rules.escape(head.name()), head.pid);
  return out;
}

}  // namespace

std::string output_name(const vmipl::Program& program, std::uint16_t output) {
  if (output == Site::kStandard || output >= program.outputs.size()) return {};
  return (program.outputs[output].channel ? "#" : "") + program.outputs[output].name;
}

std::string record_text(const vmipl::Program& program, const Record& record, bool in_file,
                        const TextRules& rules) {
  const auto& site = program.sites[record.head.site];
  const auto name = vmipl::probes()[site.probe].name;
  if (name == "Print") return format_text(site.format, record.values, site.types, rules);
  auto out = line_head(record.head, in_file, rules);
  if (name == "Report") {
    auto message = format_text(site.format, record.values, site.types, rules);
    while (message.ends_with('\n')) message.pop_back();
    out +=
        fmt::format(" {} {}: {}\n", vmipl::severities()[static_cast<std::size_t>(site.numbers[0])],
                    rules.escape(site.symptom), message);
    return out;
  }
  return out + ' ' + data_text(site, name, record, rules) + '\n';
}

std::string json_head(std::string_view type, std::int64_t wall_ns) {
  std::string out = fmt::format("{{\"version\":{},\"type\":\"{}\",\"time\":", kRecordVersion, type);
  (void)append_json(out, ValueView::of(static_cast<std::uint64_t>(wall_ns)), ValueType::time, {});
  return out;
}

std::string record_json(const vmipl::Program& program, const Record& record,
                        const TextRules& rules) {
  const auto& site = program.sites[record.head.site];
  const auto& head = record.head;
  const auto name = vmipl::probes()[site.probe].name;
  const auto type = name == "Print" ? "print" : name == "Report" ? "report" : "data";
  auto out = json_head(type, head.wall_ns);
  std::vector<std::string> escaped;
  const auto text = [&](std::string_view key, std::string_view value) {
    out += fmt::format(",\"{}\":", key);
    if (!rules.json(out, value)) escaped.emplace_back(key);
  };
  out += fmt::format(",\"monotonic_ns\":{},\"cpu\":{},\"sequence\":{}", head.monotonic_ns,
                     head.cpu == RecordHead::kHostCpu ? "null" : fmt::format("{}", head.cpu),
                     head.sequence);
  const auto& probe = program.probes[head.probe];
  out += fmt::format(",\"probe\":{}", head.probe + 1);
  text("event", written(probe));
  out += fmt::format(",\"line\":{}", site.line);
  out += fmt::format(",\"pid\":{},\"tid\":{}", head.pid >= 0 ? fmt::format("{}", head.pid) : "null",
                     head.tid >= 0 ? fmt::format("{}", head.tid) : "null");
  if (head.name().empty())
    out += ",\"process\":null";
  else
    text("process", head.name());
  const auto to = output_name(program, site.output);
  if (to.empty())
    out += ",\"output\":null";
  else
    text("output", to);
  const auto values = [&](std::span<const Value> from) {
    out += ",\"values\":[";
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (i != 0) out += ',';
      const auto value_type = i < site.types.size() ? site.types[i]
                              : from[i].textual     ? ValueType::text
                                                    : ValueType::word;
      if (!append_json(out, from[i].view(), value_type, rules))
        escaped.push_back(fmt::format("values[{}]", i));
    }
    out += ']';
  };
  // What the formats make of texts is not escaped for terminals: JSON's own rule is.
  auto plain = rules;
  plain.escape = [](std::string_view bytes) { return std::string(bytes); };
  const auto data = data_of(site, record);
  const auto hex = [&](const Value& value) {
    return value.there ? fmt::format("\"0x{:016x}\"", value.number) : std::string("null");
  };
  if (name == "Print") {
    text("text", format_text(site.format, record.values, site.types, plain));
    values(record.values);
  } else if (name == "Report") {
    text("symptom", site.symptom);
    out += fmt::format(",\"severity\":\"{}\"",
                       vmipl::severities()[static_cast<std::size_t>(site.numbers[0])]);
    text("text", format_text(site.format, record.values, site.types, plain));
    values(record.values);
  } else {
    out += fmt::format(",\"data\":\"{}\"", name);
    if (name == "ReadRegister") {
      const auto parts = parts_of(site);
      out += fmt::format(",\"register\":\"{}\"",
                         vmipl::registers()[static_cast<std::size_t>(site.numbers[0])].name);
      if (parts.empty()) out += ",\"value\":" + (data.empty() ? "null" : hex(data[0]));
      for (std::size_t i = 0; i < parts.size(); ++i)
        out += fmt::format(",\"{}\":{}", parts[i], i < data.size() ? hex(data[i]) : "null");
    } else if (name == "ReadMemory" || name == "ReadMemoryAt") {
      const bool at = name == "ReadMemoryAt";
      static const Value kMissing;
      const auto& address = at ? (!data.empty() ? data[0] : kMissing)
                               : (!record.values.empty() ? record.values[0] : kMissing);
      const auto& bytes = data.size() > (at ? 1U : 0U) ? data[at ? 1 : 0] : kMissing;
      out += ",\"address\":" + hex(address) + ",\"bytes\":";
      (void)append_json(out, bytes.view(), ValueType::bytes, rules);
    } else if (name == "ProcessList") {
      out += ",\"processes\":[";
      const auto columns = site.numbers.size();
      for (std::size_t i = 0; columns != 0 && i + columns <= data.size(); i += columns) {
        out += i == 0 ? "{" : ",{";
        for (std::size_t c = 0; c < columns; ++c) {
          const auto field =
              vmipl::process_list_fields()[static_cast<std::size_t>(site.numbers[c])];
          const auto& value = data[i + c];
          out += fmt::format("{}\"{}\":", c == 0 ? "" : ",", field);
          const auto value_type = value.textual    ? ValueType::text
                                  : field == "PID" ? ValueType::integer
                                                   : ValueType::address;
          if (!append_json(out, value.view(), value_type, rules))
            escaped.push_back(fmt::format("processes[{}].{}", i / columns, field));
        }
        out += '}';
      }
      out += ']';
    } else {
      for (std::size_t i = 0; i < site.numbers.size(); ++i) {
        out += fmt::format(",\"{}\":{}",
                           vmipl::vmcs_fields()[static_cast<std::size_t>(site.numbers[i])],
                           i < data.size() ? hex(data[i]) : "null");
      }
    }
  }
  if (!escaped.empty()) {
    out += ",\"escaped\":[";
    for (std::size_t i = 0; i < escaped.size(); ++i)
      out += fmt::format("{}\"{}\"", i == 0 ? "" : ",", escaped[i]);
    out += ']';
  }
  return out + "}\n";
}

}  // namespace vitrine::probe
