#include "machine/inferred_ram.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "machine/memory_layout.h"
#include "machine/size_words.h"

namespace vitrine {
namespace {

constexpr std::size_t kMostReadings = 16;

/// A block of RAM as the command line announces it.
struct Block {
  std::string name;
  std::uint64_t size = 0;
  bool in_file = false;     ///< its mapping has a file behind it
  std::string path;         ///< that file, if it is named
  std::vector<Hva> places;  ///< where it may be mapped, the likeliest first
};

/// A stretch that could be a block: a mapping alone, or it and those that continue it (an
/// madvise or mbind on a part splits a mapping; and what lies below may be a stranger).
struct Run {
  Hva start, end;
  bool in_file = false;
  bool guarded = false;  ///< a page without access follows, as QEMU puts behind RAM
  std::string path;
};

std::vector<Run> writable_runs(const std::vector<ProcessMapping>& maps) {
  const auto usable = [](const ProcessMapping& one) {
    return one.readable && one.writable && !one.executable;
  };
  const auto continues = [&](const ProcessMapping& one, const ProcessMapping& next) {
    return usable(next) && one.end == next.start && one.inode == next.inode &&
           one.shared == next.shared && (one.inode == 0 || one.offset + one.size() == next.offset);
  };
  std::vector<Run> runs;
  std::size_t last = 0;  // of the group that the current mapping is in
  for (std::size_t i = 0; i < maps.size(); ++i) {
    if (!usable(maps[i])) continue;
    for (last = std::max(last, i); last + 1 < maps.size() && continues(maps[last], maps[last + 1]);
         ++last) {
    }
    const auto add = [&](std::size_t end) {
      const bool guarded =
          end + 1 < maps.size() && maps[end + 1].start == maps[end].end && !maps[end + 1].readable;
      runs.push_back({maps[i].start, maps[end].end, maps[i].inode != 0, guarded, maps[i].path});
    };
    add(last);
    if (last != i) add(i);
  }
  return runs;
}

std::vector<Block> announced_blocks(const QemuOptions& options) {
  std::vector<Block> blocks;
  const auto block_of = [](const MemoryBackendOption& one) {
    return Block{one.id, one.size_bytes, one.kind != "ram", one.path, {}};
  };
  for (const auto* one : options.ram_backends()) blocks.push_back(block_of(*one));
  if (blocks.empty()) {
    blocks.push_back(
        {"RAM", options.memory_bytes, !options.mem_path.empty(), options.mem_path, {}});
  }
  return blocks;
}

void find_places(Block& block, const std::vector<Run>& runs) {
  struct Scored {
    Hva start;
    int score;
  };
  std::vector<Scored> found;
  for (const auto& run : runs) {
    const auto size = run.end - run.start;
    // Of a larger run without a file, RAM would be the end: the guard page follows it.
    const bool whole = size == block.size;
    const bool tail = size > block.size && !run.in_file && run.guarded;
    const bool named = run.in_file && !block.path.empty() && run.path.starts_with(block.path);
    const bool longer_file = named && size >= block.size;
    if (!whole && !tail && !longer_file) continue;
    const int score = (whole ? 8 : 0) + (named ? 4 : 0) + (run.in_file == block.in_file ? 2 : 0) +
                      (run.guarded ? 1 : 0);
    found.push_back({tail ? run.end - block.size : run.start, score});
  }
  // QEMU maps from high addresses down, in the order of its options.
  std::ranges::sort(found, [](const Scored& a, const Scored& b) {
    return a.score != b.score ? a.score > b.score : a.start > b.start;
  });
  for (const auto& one : found) {
    if (std::ranges::find(block.places, one.start) == block.places.end())
      block.places.push_back(one.start);
  }
}

/// Gives each block a place of its own, the first block its `choice`th.
std::optional<std::vector<Hva>> assign(const std::vector<Block>& blocks, std::size_t choice) {
  std::vector<Hva> taken;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    std::optional<Hva> mine;
    std::size_t skip = i == 0 ? choice : 0;
    for (const auto place : blocks[i].places) {
      if (std::ranges::find(taken, place) != taken.end()) continue;
      if (skip-- == 0) {
        mine = place;
        break;
      }
    }
    if (!mine) return std::nullopt;
    taken.push_back(*mine);
  }
  return taken;
}

/// The layout's ranges, cut where blocks meet.
std::vector<HostRange> place_blocks(const MemoryLayout& layout, const std::vector<Block>& blocks,
                                    const std::vector<Hva>& places) {
  std::vector<HostRange> ranges;
  for (const auto& segment : layout.segments) {
    std::uint64_t block_start = 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const auto from = std::max(segment.offset, block_start);
      const auto to = std::min(segment.offset + segment.range.size, block_start + blocks[i].size);
      if (from < to) {
        ranges.push_back({{segment.range.start + (from - segment.offset), to - from},
                          places[i] + (from - block_start),
                          blocks[i].name});
      }
      block_start += blocks[i].size;
    }
  }
  return ranges;
}

/// Memory plugged in at start: from the next GiB boundary behind RAM on.
void add_dimms(std::vector<HostRange>& ranges, const QemuOptions& options,
               const std::vector<Run>& runs, std::vector<Hva> taken) {
  constexpr std::uint64_t kAlignment = 2 * kMiB;
  Gpa next{4 * kGiB};
  for (const auto& range : ranges) next = std::max(next, range.range.end());
  next = Gpa{(next.value + kGiB - 1) / kGiB * kGiB};
  for (const auto& dimm : options.dimms) {
    const auto* backend = options.backend(dimm.backend);
    if (backend == nullptr || backend->size_bytes == 0) continue;
    Block block{backend->id, backend->size_bytes, backend->kind != "ram", backend->path, {}};
    find_places(block, runs);
    std::erase_if(block.places,
                  [&](Hva place) { return std::ranges::find(taken, place) != taken.end(); });
    if (block.places.empty()) continue;
    const Gpa at = dimm.address ? Gpa{*dimm.address} : next;
    ranges.push_back({{at, block.size}, block.places.front(), block.name});
    taken.push_back(block.places.front());
    next = Gpa{(at.value + block.size + kAlignment - 1) / kAlignment * kAlignment};
  }
}

/// A firmware's memory map in a small block beside RAM: a microvm's BIOS runs in its own.
std::optional<std::vector<format::E820Entry>> table_in_firmware_block(
    pid_t pid, const std::vector<Run>& runs) {
  for (const auto& run : runs) {
    const auto size = run.end - run.start;
    if (!run.guarded || run.in_file || size < 64 * kKiB || size > 256 * kKiB) continue;
    const auto memory = reach_ram(pid, {{{Gpa{0}, size}, run.start, "firmware"}});
    std::vector<std::byte> bytes(size);
    if (!memory || !memory->memory->read(Gpa{0}, bytes)) continue;
    if (auto found = format::find_e820(bytes)) return std::move(found->entries);
  }
  return std::nullopt;
}

std::uint64_t max_below_4g(const QemuOptions& options) {
  const auto found = options.machine.find("max-ram-below-4g");
  return found == options.machine.end() ? 0 : parse_size(found->second).value_or(0);
}

}  // namespace

Outcome<std::vector<InferredRam>> infer_ram(const QemuOptions& options,
                                            const std::vector<ProcessMapping>& maps) {
  const auto runs = writable_runs(maps);
  auto blocks = announced_blocks(options);
  std::uint64_t total = 0;
  for (auto& block : blocks) {
    if (block.size == 0) block.size = options.memory_bytes;
    find_places(block, runs);
    total += block.size;
    if (block.places.empty()) {
      return std::unexpected(Problem(
          Errc::not_found,
          fmt::format(
              "QEMU's command line tells of {} of RAM ({}), but nothing of that size is mapped",
              size_in_words(block.size), block.name),
          options.reads_config ? "it was started with -readconfig: give it a QMP socket"
                               : "give it a QMP socket"));
    }
  }

  // The machine type's own rule first; then the others, for a type we do not know.
  std::vector<PcFamily> families;
  const auto known = pc_family(options.machine_type);
  if (known) families.push_back(*known);
  for (const auto family : {PcFamily::q35, PcFamily::i440fx, PcFamily::microvm}) {
    if (!known || family != *known) families.push_back(family);
  }
  std::vector<InferredRam> readings;
  for (const auto family : families) {
    const auto layout =
        pc_layout(family, total, max_below_4g(options), family != PcFamily::microvm);
    for (std::size_t choice = 0;
         choice < blocks.front().places.size() && readings.size() < kMostReadings; ++choice) {
      const auto places = assign(blocks, choice);
      if (!places) continue;
      auto ranges = place_blocks(layout, blocks, *places);
      add_dimms(ranges, options, runs, *places);
      const bool seen = std::ranges::any_of(
          readings, [&](const InferredRam& one) { return one.ranges == ranges; });
      if (seen) continue;
      auto words = layout.words;
      if (choice > 0) words += fmt::format(", its RAM at {:#x}", places->front().value);
      readings.push_back({std::move(words), std::move(ranges)});
    }
  }
  if (readings.empty()) {
    return std::unexpected(Problem(Errc::not_found,
                                   "QEMU's RAM cannot be told apart in its address space",
                                   "give it a QMP socket"));
  }
  return readings;
}

Outcome<ReachedInferred> reach_inferred_ram(pid_t pid, const QemuOptions& options,
                                            std::size_t layout) {
  const auto maps = read_process_maps(pid);
  if (!maps) return std::unexpected(ram_problem(pid, {maps.error().code, 0, "its memory map"}));
  auto readings = TRY(infer_ram(options, *maps));

  enum class Evidence : std::uint8_t { table_agrees, bios, nothing, table_contradicts };
  struct Judged {
    std::size_t reading;
    Evidence evidence;
    Gpa table;
  };
  std::vector<Judged> order;
  const auto beside = table_in_firmware_block(pid, writable_runs(*maps));
  for (std::size_t i = 0; i < readings.size(); ++i) {
    const auto ram = TRY(reach_ram(pid, readings[i].ranges));
    Judged judged{i, has_bios_shadow(*ram.memory) ? Evidence::bios : Evidence::nothing, {}};
    if (const auto table = find_firmware_table(*ram.memory)) {
      const bool agrees = compare_map(ram.memory->ram(), table->entries).agrees;
      judged.evidence = agrees ? Evidence::table_agrees : Evidence::table_contradicts;
      judged.table = table->at;
    } else if (beside) {
      judged.evidence = compare_map(ram.memory->ram(), *beside).agrees
                            ? Evidence::table_agrees
                            : Evidence::table_contradicts;
    }
    order.push_back(judged);
  }
  std::ranges::sort(order, {},
                    [](const Judged& one) { return std::pair(one.evidence, one.reading); });
  if (layout >= order.size()) {
    return std::unexpected(
        Problem(Errc::invalid, fmt::format("the RAM can be read in {} ways; there is no number {}",
                                           order.size(), layout)));
  }

  ReachedInferred result;
  for (const auto& judged : order) result.layouts.push_back(readings[judged.reading].words);
  const auto& chosen = order[layout];
  result.ram = TRY(reach_ram(pid, readings[chosen.reading].ranges));
  const auto where = chosen.table ? fmt::format("at {:#x} in the guest", chosen.table.value)
                                  : std::string("in the firmware's own block");
  std::string evidence;
  switch (chosen.evidence) {
    case Evidence::table_agrees:
      result.source = MapSource::verified;
      evidence = fmt::format("the firmware's own memory map, found {}, agrees", where);
      break;
    case Evidence::bios:
      evidence =
          "a BIOS lies where it should, but no memory map of the firmware was found to check it "
          "against";
      break;
    case Evidence::nothing:
      evidence = "nothing in the guest confirms it (it may not have started yet)";
      break;
    case Evidence::table_contradicts:
      evidence = fmt::format("the firmware's own memory map, found {}, CONTRADICTS it", where);
      break;
  }
  result.warnings.push_back(fmt::format("the memory map is inferred from the command line ({}): {}",
                                        readings[chosen.reading].words, evidence));
  return result;
}

}  // namespace vitrine
