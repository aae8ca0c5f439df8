#include "machine/monitor_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace vitrine {
namespace {

constexpr std::size_t kMostRanges = 65536;
constexpr std::size_t kMostCpus = 4096;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Takes the next line off `text`.
std::string_view take_line(std::string_view& text) {
  const auto end = text.find('\n');
  const auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

/// Takes hex digits off the front.
std::optional<std::uint64_t> take_hex(std::string_view& text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000 KVM"
std::optional<FlatRange> parse_range(std::string_view line) {
  line = trim(line);
  FlatRange flat;
  const auto first = take_hex(line);
  if (!first || !take(line, "-")) return std::nullopt;
  const auto last = take_hex(line);
  if (!last || *last < *first || *last - *first == UINT64_MAX || !take(line, " (prio "))
    return std::nullopt;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), flat.priority);
  if (error != std::errc{}) return std::nullopt;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  if (!take(line, ", ")) return std::nullopt;
  const auto close = line.find("): ");
  if (close == std::string_view::npos) return std::nullopt;
  const auto kind = line.substr(0, close);
  line.remove_prefix(close + 3);

  flat.range = {Gpa{*first}, *last - *first + 1};
  flat.readonly = kind == "rom" || kind == "nv-rom";
  flat.ram = kind == "ram" || kind == "nv-ram" || flat.readonly;
  if (take(line, "nv-")) {
  }  // older QEMUs put it before the name
  // A name may itself hold " @": the offset is the last, and has 16 digits.
  if (const auto at = line.rfind(" @"); at != std::string_view::npos) {
    auto rest = line.substr(at + 2);
    if (const auto offset = take_hex(rest); offset && (rest.empty() || rest.starts_with(' '))) {
      flat.offset = *offset;
      flat.region = line.substr(0, at);
      return flat;
    }
  }
  for (const std::string_view suffix : {" KVM", " HVF", " NVMM", " WHPX"}) {
    if (line.ends_with(suffix)) line.remove_suffix(suffix.size());
  }
  flat.region = line;
  return flat;
}

}  // namespace

Outcome<std::vector<FlatRange>> parse_flat_view(std::string_view text) {
  const auto broken = [](std::string_view why) {
    return std::unexpected(
        Problem(Errc::protocol, fmt::format("QEMU's memory map cannot be read: {}", why)));
  };
  bool ours = false;
  bool found = false;
  std::vector<FlatRange> ranges;
  while (!text.empty()) {
    const auto line = trim(take_line(text));
    if (line.starts_with("FlatView #")) {
      if (found) break;
      ours = false;
    } else if (line.starts_with("AS \"memory\"")) {
      ours = true;
    } else if (ours) {
      auto range = parse_range(line);
      if (!range) continue;
      found = true;
      if (!ranges.empty() && range->range.start < ranges.back().range.end()) {
        return broken("its ranges overlap");
      }
      if (ranges.size() >= kMostRanges) {
        return std::unexpected(Problem(Errc::too_large, "QEMU's memory map has too many ranges"));
      }
      ranges.push_back(std::move(*range));
    }
  }
  if (!found) return broken("it shows no address space \"memory\"");
  return ranges;
}

std::optional<HostAddress> parse_gpa2hva(std::string_view text) {
  // "Host virtual address for 0xc0000 (pc.ram) is 0x7fb687ec0000"
  text = trim(take_line(text));
  if (!take(text, "Host virtual address for ")) return std::nullopt;
  const auto open = text.find(" (");
  const auto close = text.rfind(") is 0x");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2) {
    return std::nullopt;
  }
  HostAddress address{std::string(text.substr(open + 2, close - open - 2)), {}};
  text.remove_prefix(close + 5);
  const auto hva = take_hex(text);
  if (!hva || !text.empty()) return std::nullopt;
  address.hva = Hva{*hva};
  return address;
}

namespace {

struct Block {
  x86::Registers registers;
  bool rip = false, cr0 = false, cr3 = false;
};

// "0010 7ff3c000 ffffffff 00cf9300 DPL=0 DS   [-WA]"
std::optional<x86::Segment> parse_segment(std::string_view rest) {
  std::array<std::uint64_t, 4> words{};
  for (auto& word : words) {
    rest = trim(rest);
    const auto value = take_hex(rest);
    if (!value) return std::nullopt;
    word = *value;
  }
  // Bits 16 to 19 of the descriptor's second word are the limit's, not attributes.
  return x86::Segment{.selector = static_cast<std::uint16_t>(words[0]),
                      .base = words[1],
                      .limit = static_cast<std::uint32_t>(words[2]),
                      .attributes = static_cast<std::uint16_t>(words[3] >> 8 & 0xf0ff)};
}

std::optional<x86::DescriptorTable> parse_table(std::string_view rest) {
  rest = trim(rest);
  const auto base = take_hex(rest);
  rest = trim(rest);
  const auto limit = take_hex(rest);
  if (!base || !limit) return std::nullopt;
  return x86::DescriptorTable{Gva{*base}, static_cast<std::uint32_t>(*limit)};
}

x86::Segment* segment_called(x86::Registers& r, std::string_view name) {
  if (name == "ES") return &r.es;
  if (name == "CS") return &r.cs;
  if (name == "SS") return &r.ss;
  if (name == "DS") return &r.ds;
  if (name == "FS") return &r.fs;
  if (name == "GS") return &r.gs;
  if (name == "LDT") return &r.ldt;
  if (name == "TR") return &r.tr;
  return nullptr;
}

void set_register(Block& block, std::string_view name, std::uint64_t value) {
  auto& r = block.registers;
  static constexpr std::array<std::string_view, x86::kGprCount> kNames = {
      "AX", "BX", "CX",  "DX",  "SI",  "DI",  "BP",  "SP",
      "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"};
  auto bare = name;
  if (bare.size() == 3 && (bare[0] == 'R' || bare[0] == 'E')) bare.remove_prefix(1);
  const auto numbered = std::ranges::find(kNames, name);
  const auto lettered = std::ranges::find(kNames, bare);
  if (numbered != kNames.end()) {
    r.gpr[static_cast<std::size_t>(numbered - kNames.begin())] = value;
  } else if (lettered != kNames.end()) {
    r.gpr[static_cast<std::size_t>(lettered - kNames.begin())] = value;
  } else if (bare == "IP") {
    r.rip = value;
    block.rip = true;
  } else if (bare == "FL") {
    r.rflags = value;
  } else if (name == "CR0") {
    r.cr0 = value;
    block.cr0 = true;
  } else if (name == "CR2") {
    r.cr2 = value;
  } else if (name == "CR3") {
    r.cr3 = value;
    block.cr3 = true;
  } else if (name == "CR4") {
    r.cr4 = value;
  } else if (name == "EFER") {
    r.efer = value;
  } else if (name == "HLT") {
    r.halted = value != 0;
  }
}

void parse_register_line(Block& block, std::string_view line) {
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) return;
  const auto first = trim(line.substr(0, equals));
  if (auto* segment = segment_called(block.registers, first)) {
    if (const auto value = parse_segment(line.substr(equals + 1))) *segment = *value;
    return;
  }
  if (first == "GDT" || first == "IDT") {
    if (const auto value = parse_table(line.substr(equals + 1))) {
      (first == "GDT" ? block.registers.gdtr : block.registers.idtr) = *value;
    }
    return;
  }
  // "RAX=0000000000000000 RBX=... R8 =...": a name, perhaps padded, '=', hex digits.
  std::size_t at = 0;
  while (true) {
    const auto sign = line.find('=', at);
    if (sign == std::string_view::npos) return;
    auto name = trim(line.substr(at, sign - at));
    if (const auto space = name.rfind(' '); space != std::string_view::npos)
      name.remove_prefix(space + 1);
    auto rest = line.substr(sign + 1);
    const auto before = rest.size();
    if (const auto value = take_hex(rest)) set_register(block, name, *value);
    at = sign + 1 + (before - rest.size());
  }
}

}  // namespace

Outcome<std::vector<x86::Registers>> parse_registers(std::string_view text) {
  std::vector<Block> blocks;
  while (!text.empty()) {
    const auto line = trim(take_line(text));
    const bool heading = line.starts_with("CPU#");
    if (heading || (blocks.empty() && line.find('=') != std::string_view::npos)) {
      if (blocks.size() >= kMostCpus) {
        return std::unexpected(Problem(Errc::protocol, "QEMU shows more CPUs than a machine has"));
      }
      blocks.emplace_back();
    }
    if (!heading && !blocks.empty()) parse_register_line(blocks.back(), line);
  }
  std::vector<x86::Registers> all;
  for (const auto& block : blocks) {
    if (!block.rip || !block.cr0 || !block.cr3) {
      return std::unexpected(Problem(Errc::protocol, "QEMU's register dump cannot be read"));
    }
    all.push_back(block.registers);
  }
  if (all.empty())
    return std::unexpected(Problem(Errc::protocol, "QEMU's register dump shows no x86 CPU"));
  return all;
}

}  // namespace vitrine
