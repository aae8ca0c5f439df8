#include "format/elf.h"

#include <algorithm>
#include <map>
#include <set>

namespace vitrine::format {
namespace {

constexpr std::uint32_t kMagic = 0x464c457f;
constexpr std::uint64_t kMostHeaders = 1 << 20;
constexpr std::size_t kMostNotes = 65536;
constexpr std::uint64_t kPhysicalLimit = std::uint64_t{1} << 52;
constexpr std::uint32_t kLoad = 1;
constexpr std::uint32_t kNote = 4;
constexpr std::uint16_t kCountElsewhere = 0xffff;  // PN_XNUM

/// A field that is 4 bytes wide in ELF32 and 8 in ELF64.
struct Field {
  std::uint64_t narrow, wide;
};

class Reader {
 public:
  Reader(Bytes file, bool wide) : file_(file), wide_(wide) {}

  [[nodiscard]] std::optional<std::uint64_t> word(std::uint64_t base, Field at) const {
    const auto offset = base + (wide_ ? at.wide : at.narrow);
    if (offset < base) return std::nullopt;
    if (wide_) return load<std::uint64_t>(file_, offset);
    if (const auto value = load<std::uint32_t>(file_, offset)) return *value;
    return std::nullopt;
  }
  template <class T>
  [[nodiscard]] std::optional<T> fixed(std::uint64_t base, Field at) const {
    return load<T>(file_, base + (wide_ ? at.wide : at.narrow));
  }

 private:
  Bytes file_;
  bool wide_;
};

}  // namespace

Result<ElfFile> parse_elf(Bytes file) {
  const auto magic = load<std::uint32_t>(file, 0);
  const auto width = load<std::uint8_t>(file, 4);
  const auto order = load<std::uint8_t>(file, 5);
  if (magic != kMagic || !order) return fail(Errc::malformed, 0, "ELF magic");
  if ((width != 1 && width != 2) || order != 1)
    return fail(Errc::malformed, 4, "ELF class or byte order");

  ElfFile elf;
  elf.wide = width == 2;
  const Reader reader(file, elf.wide);
  const auto type = load<std::uint16_t>(file, 16);
  const auto machine = load<std::uint16_t>(file, 18);
  const auto headers = reader.word(0, {28, 32});
  const auto sections = reader.word(0, {32, 40});
  const auto entry_size = reader.fixed<std::uint16_t>(0, {42, 54});
  const auto short_count = reader.fixed<std::uint16_t>(0, {44, 56});
  if (!type || !machine || !headers || !sections || !entry_size || !short_count) {
    return fail(Errc::malformed, 0, "ELF header");
  }
  elf.type = *type;
  elf.machine = *machine;
  const std::uint64_t expected_size = elf.wide ? 56 : 32;
  if (*entry_size != expected_size) return fail(Errc::malformed, 42, "e_phentsize");

  std::uint64_t count = *short_count;
  if (count == kCountElsewhere) {  // in sh_info of the first section header
    if (*sections > file.size()) return fail(Errc::out_of_bounds, *sections, "e_shoff");
    const auto real = reader.fixed<std::uint32_t>(*sections, {28, 44});
    if (!real) return fail(Errc::out_of_bounds, *sections, "sh_info");
    count = *real;
  }
  if (count > kMostHeaders) return fail(Errc::too_large, count, "e_phnum");
  if (!slice(file, *headers, count * expected_size))
    return fail(Errc::out_of_bounds, *headers, "e_phoff");

  for (std::uint64_t i = 0; i < count; ++i) {
    const auto base = *headers + i * expected_size;
    const auto kind = load<std::uint32_t>(file, base).value_or(0);
    const ElfLoad one{.file_offset = reader.word(base, {4, 8}).value_or(0),
                      .file_size = reader.word(base, {16, 32}).value_or(0),
                      .memory_size = reader.word(base, {20, 40}).value_or(0),
                      .physical = Gpa{reader.word(base, {12, 24}).value_or(0)},
                      .virtual_address = Gva{reader.word(base, {8, 16}).value_or(0)}};
    if (kind == kLoad) elf.loads.push_back(one);
    if (kind == kNote) elf.notes.emplace_back(one.file_offset, one.file_size);
  }
  return elf;
}

ElfRanges elf_ranges(const ElfFile& elf, std::uint64_t file_size) {
  ElfRanges result;
  struct Edge {
    Gpa at;
    std::size_t load;
    bool begins;
  };
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < elf.loads.size(); ++i) {
    const auto& load = elf.loads[i];
    // Kernel text of a /proc/kcore has no physical address: -1 stands there.
    const auto start = load.physical.value;
    if (start >= kPhysicalLimit) continue;
    auto size = std::min(load.file_size, kPhysicalLimit - start);
    if (load.memory_size > load.file_size)
      result.left_out_bytes += load.memory_size - load.file_size;
    const auto held = load.file_offset >= file_size ? 0 : file_size - load.file_offset;
    if (held < size) {
      result.missing_bytes += size - held;
      size = held;
    }
    if (size == 0) continue;
    edges.push_back({load.physical, i, true});
    edges.push_back({load.physical + size, i, false});
  }
  std::ranges::sort(edges, {}, &Edge::at);

  // Sweep over the edges; of the LOADs that cover a stretch, the first in the file counts.
  std::set<std::size_t> covering;
  std::map<std::uint64_t, std::size_t> deltas;  // file offset minus address: how many say so
  const auto delta_of = [&](std::size_t i) {
    return elf.loads[i].file_offset - elf.loads[i].physical.value;
  };
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const auto& edge = edges[i];
    if (edge.begins) {
      covering.insert(edge.load);
      ++deltas[delta_of(edge.load)];
    } else {
      covering.erase(edge.load);
      if (--deltas[delta_of(edge.load)] == 0) deltas.erase(delta_of(edge.load));
    }
    if (covering.empty() || i + 1 == edges.size() || edges[i + 1].at == edge.at) continue;
    result.contradictory = result.contradictory || deltas.size() > 1;
    const GpaRange range{edge.at, edges[i + 1].at - edge.at};
    const auto offset = edge.at.value + delta_of(*covering.begin());
    if (!result.ranges.empty()) {
      auto& last = result.ranges.back();
      if (last.range.end() == range.start && last.file_offset + last.range.size == offset) {
        last.range.size += range.size;
        continue;
      }
    }
    result.ranges.push_back({range, offset});
  }
  return result;
}

std::uint64_t add_unnamed_ranges(ElfRanges& result, const ElfFile& elf, std::uint64_t file_size) {
  // How far LOADs that begin at or before an address say that memory reaches.
  std::map<Gpa, Gpa> reach;
  for (const auto& load : elf.loads) {
    if (load.physical.value >= kPhysicalLimit) continue;
    auto& end = reach[load.physical];
    end = std::max(
        end, load.physical + std::min(load.memory_size, kPhysicalLimit - load.physical.value));
  }
  Gpa furthest{0};
  for (auto& [start, end] : reach) end = furthest = std::max(furthest, end);
  const auto limit_after = [&](Gpa at) {
    constexpr std::uint64_t kStep = 16 * kMiB;
    const Gpa boundary{(at.value + kStep - 1) / kStep * kStep};
    const auto after = reach.upper_bound(at);
    return after == reach.begin() ? boundary : std::max(boundary, std::prev(after)->second);
  };

  auto& named = result.ranges;  // by address
  auto by_offset = named;
  std::ranges::sort(by_offset, {}, &ElfRange::file_offset);
  std::uint64_t added = 0;
  std::vector<ElfRange> all = named;
  for (std::size_t i = 0; i < by_offset.size(); ++i) {
    const auto& one = by_offset[i];
    const auto from = one.file_offset + one.range.size;
    const bool last = i + 1 == by_offset.size();
    const auto to = last ? file_size / kPageSize * kPageSize : by_offset[i + 1].file_offset;
    if (to <= from) continue;
    auto size = last ? (file_size - from) / kPageSize * kPageSize : to - from;
    const bool same_block = !last && by_offset[i + 1].range.start - one.range.start ==
                                         by_offset[i + 1].file_offset - one.file_offset;
    const bool next_begins = last || by_offset[i + 1].range.start.value % kMiB == 0;
    if (!same_block) size = std::min(size, limit_after(one.range.end()) - one.range.end());
    if (size == 0 || size % kPageSize != 0 || (!same_block && !next_begins)) continue;
    // Nobody else may claim these addresses.
    const GpaRange fill{one.range.end(), size};
    const auto next = std::ranges::lower_bound(named, fill.start, {},
                                               [](const ElfRange& r) { return r.range.start; });
    if (next != named.end() && next->range.start < fill.end()) continue;
    if (fill.end().value > kPhysicalLimit || fill.end() < fill.start) continue;
    all.push_back({fill, from});
    added += size;
  }
  std::ranges::sort(all, {}, [](const ElfRange& r) { return r.range.start; });
  named.clear();
  for (const auto& one : all) {
    if (!named.empty()) {
      auto& before = named.back();
      if (one.range.start < before.range.end()) {  // two fills of one place: the lower stays
        added -= one.range.size;
        continue;
      }
      if (before.range.end() == one.range.start &&
          before.file_offset + before.range.size == one.file_offset) {
        before.range.size += one.range.size;
        continue;
      }
    }
    named.push_back(one);
  }
  return added;
}

std::vector<ElfNote> parse_elf_notes(Bytes segment) {
  std::vector<ElfNote> notes;
  std::uint64_t at = 0;
  const auto padded = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
  while (notes.size() < kMostNotes) {
    const auto name_size = load<std::uint32_t>(segment, at);
    const auto size = load<std::uint32_t>(segment, at + 4);
    const auto type = load<std::uint32_t>(segment, at + 8);
    if (!name_size || !size || !type) break;
    if (*name_size == 0 && *size == 0 && *type == 0) break;  // zero fill
    const auto name = slice(segment, at + 12, *name_size);
    const auto body = slice(segment, at + 12 + padded(*name_size), *size);
    if (!name || !body) break;
    std::string_view words(reinterpret_cast<const char*>(name->data()), name->size());
    words = words.substr(0, words.find('\0'));
    notes.push_back({words, *type, *body});
    at += 12 + padded(*name_size) + padded(*size);
  }
  return notes;
}

Result<QemuCpuState> parse_qemu_cpu_state(Bytes note) {
  constexpr std::uint64_t kSegments = 8 + 18 * 8;
  constexpr std::uint64_t kControl = kSegments + 10 * 24;
  constexpr std::uint64_t kShortest = kControl + 5 * 8;
  const auto version = load<std::uint32_t>(note, 0);
  const auto size = load<std::uint32_t>(note, 4);
  if (!version || !size || note.size() < kShortest)
    return fail(Errc::malformed, 0, "QEMU note: too short");
  if (*version != 1) return fail(Errc::unsupported, *version, "QEMU note: version");
  if (*size < kShortest || *size > note.size()) return fail(Errc::malformed, 4, "QEMU note: size");

  const auto word = [&](std::uint64_t at) { return load<std::uint64_t>(note, at).value_or(0); };
  QemuCpuState state;
  std::uint64_t at = 8;
  for (auto* one : {&state.rax, &state.rbx, &state.rcx, &state.rdx, &state.rsi, &state.rdi,
                    &state.rsp, &state.rbp}) {
    *one = word(at);
    at += 8;
  }
  for (auto& one : state.r8_to_r15) {
    one = word(at);
    at += 8;
  }
  state.rip = word(at);
  state.rflags = word(at + 8);
  at = kSegments;
  for (auto* one : {&state.cs, &state.ds, &state.es, &state.fs, &state.gs, &state.ss, &state.ldt,
                    &state.tr, &state.gdt, &state.idt}) {
    one->selector = load<std::uint32_t>(note, at).value_or(0);
    one->limit = load<std::uint32_t>(note, at + 4).value_or(0);
    one->flags = load<std::uint32_t>(note, at + 8).value_or(0);
    one->base = word(at + 16);
    at += 24;
  }
  for (auto& one : state.cr) {
    one = word(at);
    at += 8;
  }
  if (*size >= kShortest + 8) state.kernel_gs_base = load<std::uint64_t>(note, kShortest);
  return state;
}

}  // namespace vitrine::format
