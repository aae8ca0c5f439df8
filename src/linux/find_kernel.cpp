#include "linux/find_kernel.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "format/kallsyms.h"
#include "linux/kernel_name.h"
#include "linux/unlisted_symbols.h"
#include "linux/unlisted_tables.h"
#include "memory/stretch.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kKernelMap = 0xffff'ffff'8000'0000;  // __START_KERNEL_map
constexpr std::uint64_t kKernelMapSize = kGiB;               // KASLR moves the text inside this
constexpr std::uint64_t kTextAlign = 2 * kMiB;               // CONFIG_PHYSICAL_ALIGN, at least
constexpr std::uint64_t kMaxImage = 192 * kMiB;              // from _text to the end of .rodata
constexpr std::uint64_t kNearHint = 96 * kMiB;
constexpr std::uint64_t kChunk = 4 * kMiB;
constexpr std::uint64_t kCopied = 256 * kKiB;           // at once
constexpr std::size_t kSymbolsATurn = 4096;             // taken out without a look at memory
constexpr std::uint64_t kTokenTableReach = 128 * kKiB;  // a token table and its index fit
constexpr std::uint64_t kIndexSize = 512;               // of a token table: 256 offsets
constexpr std::size_t kGateSize = 16;
constexpr std::size_t kExceptionVectors = 32;
constexpr std::size_t kTablesPerMapping = 4096;  // page tables read in search of one mapping

/// The handler of a 64-bit interrupt gate. Source: Intel SDM vol. 3A, "64-Bit Mode IDT".
std::uint64_t handler_of(Bytes gate) {
  const auto low = load<std::uint16_t>(gate, 0).value_or(0);
  const auto middle = load<std::uint16_t>(gate, 6).value_or(0);
  const auto high = load<std::uint32_t>(gate, 8).value_or(0);
  return low | std::uint64_t{middle} << 16 | std::uint64_t{high} << 32;
}

/// Bytes of RAM in one piece: the source's own if it has them mapped, else a copy.
class Piece {
 public:
  static std::optional<Piece> look(const PhysicalMemory& ram, Gpa from, std::uint64_t size) {
    Piece piece;
    piece.bytes_ = ram.window(from, size);
    if (piece.bytes_.empty()) return copy(ram, from, size);
    return piece;
  }
  /// A copy, for what must not change while it is taken apart. In pieces: whoever counts our reads
  /// sees that we go on.
  static std::optional<Piece> copy(const PhysicalMemory& ram, Gpa from, std::uint64_t size) {
    Piece piece;
    piece.copy_ = std::make_unique_for_overwrite<std::byte[]>(size);
    const MutableBytes into(piece.copy_.get(), size);
    for (std::uint64_t done = 0; done < size; done += kCopied) {
      const auto some = std::min(kCopied, size - done);
      if (!ram.read(from + done, into.subspan(done, some))) return std::nullopt;
    }
    piece.bytes_ = into;
    return piece;
  }
  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  std::unique_ptr<std::byte[]> copy_;
  Bytes bytes_;
};

/// The stretch of RAM around `at`, at most `before` and `after` bytes of it.
std::optional<GpaRange> around(const PhysicalMemory& ram, Gpa at, std::uint64_t before,
                               std::uint64_t after) {
  const auto all = stretch_at(ram, at);
  if (!all) return std::nullopt;
  const std::uint64_t start = at - all->start > before ? (at - before).value : all->start.value;
  const std::uint64_t end = all->end() - at > after ? (at + after).value : all->end().value;
  return GpaRange{Gpa{start}, end - start};
}

/// What a search may spend on tables that turn out to be of no kernel: a guest can make as many of
/// them as its memory holds.
struct Budget {
  std::size_t tables = 2048;  // token tables taken apart
  std::size_t wide = 64;      // of these, the ones around which much memory is looked through
  std::size_t roots = 4096;   // pages asked whether they are a kernel's page tables
  std::uint64_t names = format::kKallsymsWork;
  static constexpr std::uint64_t kPerSymbol = 16;  // taking out a symbol, in names walked over
};

/// A hash over the parts of kallsyms that are alike in every boot.
std::uint64_t hash_of(Bytes bytes, std::span<const ImageRange> parts) {
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                 XXH3_freeState);
  XXH3_64bits_reset(state.get());
  for (const auto& part : parts) {
    if (const auto in = slice(bytes, part.offset, part.size))
      XXH3_64bits_update(state.get(), in->data(), in->size());
  }
  return XXH3_64bits_digest(state.get());
}

/// One candidate, taken apart: kallsyms around a token table, not yet placed.
class Candidate {
 public:
  static Result<Candidate> parse(const PhysicalMemory& ram, Gpa tokens, Budget& budget) {
    // What distributions need, so that an FVM stays small; then more, for kernels that have all.
    for (const std::uint64_t reach : {4 * kMiB, 8 * kMiB, 64 * kMiB}) {
      if (reach > 8 * kMiB && budget.wide-- == 0) {
        budget.wide = 0;
        break;
      }
      const auto range = around(ram, tokens, reach, reach / 2);
      if (!range) return fail(Errc::outside_ram, tokens.value);
      auto piece = Piece::copy(ram, range->start, range->size);
      if (!piece) return fail(Errc::outside_ram, tokens.value);
      // All this reads nothing. An FVM's engine is known to live by its reads.
      const auto turn = [&] { (void)ram.window(tokens, 1); };
      const auto layout =
          format::parse_kallsyms(piece->bytes(), tokens - range->start, budget.names, turn);
      if (!layout) {
        if (range->size < reach) return std::unexpected(layout.error());
        continue;
      }
      Candidate candidate;
      candidate.start_ = range->start;
      candidate.layout_ = *layout;
      candidate.parts_ = {{{layout->names, layout->names_size},
                           {layout->tokens, layout->token_index - layout->tokens + kIndexSize},
                           {layout->addresses, layout->addresses_size}}};
      candidate.hash_ = hash_of(piece->bytes(), candidate.parts_);
      budget.names -= std::min(budget.names, layout->count * Budget::kPerSymbol);
      candidate.symbols_.reserve(layout->count, layout->names_size * 2);
      std::size_t taken = 0;
      // Tables that are relative to themselves are decoded to physical addresses first.
      TRY(format::for_each_symbol(piece->bytes(), *layout, range->start.value,
                                  [&](std::uint64_t address, char type, std::string_view name) {
                                    candidate.symbols_.add(address, type, name);
                                    if (++taken % kSymbolsATurn == 0) turn();
                                  }));
      return candidate;
    }
    return fail(Errc::not_found, tokens.value, "kallsyms");
  }

  /// Finds the page tables by the symbols, and asks them to confirm where the text is.
  Result<KernelPlace> place(const PhysicalMemory& ram, Budget& budget) const {
    auto text = symbols_.find("_text");
    if (!text) text = symbols_.find("_stext");
    const auto table = symbols_.find("init_top_pgt");
    if (!text) return fail(Errc::not_found, 0, "_text");
    const bool physical = layout_.form == format::KallsymsAddresses::self_relative;
    const auto place = !table     ? by_looks(ram, *text, physical, budget)
                       : physical ? find_text_mapping(ram, Gpa{*text}, Gpa{*table})
                                  : by_alignment(ram, Gva{*text}, *table - *text);
    if (!place) return fail(Errc::not_found, start_.value, "page tables that map the text");
    return *place;
  }

  /// The kernel, with the symbols its kallsyms does not list.
  FoundKernel finish(const PhysicalMemory& ram, const KernelPlace& place) && {
    if (layout_.form == format::KallsymsAddresses::self_relative)
      symbols_.relocate(place.text.value - place.text_physical.value);
    auto unlisted = add_unlisted_symbols(ram, place, symbols_);
    auto parts = parts_;
    for (auto& part : parts) part.offset = (start_ + part.offset).value - place.text_physical.value;
    return FoundKernel{place, std::move(symbols_).build(), parts, hash_, {}, std::move(unlisted)};
  }

 private:
  /// The text is known by its virtual address: physical ones are tried, 2 MiB apart, down
  /// from the tables.
  [[nodiscard]] std::optional<KernelPlace> by_alignment(const PhysicalMemory& ram, Gva text,
                                                        std::uint64_t table_offset) const {
    const std::uint64_t tables = (start_ + layout_.names).value;
    for (std::uint64_t at = tables & ~(kTextAlign - 1); tables - at < kMaxImage; at -= kTextAlign) {
      for (const unsigned levels : {4U, 5U}) {
        const x86::PageRoot root{Gpa{at + table_offset}, levels};
        const auto found = x86::translate(ram, root, text);
        if (found && found->address == Gpa{at}) return KernelPlace{text, Gpa{at}, root};
      }
      if (at < kTextAlign) break;
    }
    return std::nullopt;
  }

  /// No symbol names the tables: pages are asked whether they map text and kallsyms to where these
  /// lie. `text` is physical where the symbols are.
  [[nodiscard]] std::optional<KernelPlace> by_looks(const PhysicalMemory& ram, std::uint64_t text,
                                                    bool physical, Budget& budget) const {
    const Gpa names = start_ + layout_.names;
    return find_unlisted_tables(ram, names, [&](Gpa table) -> std::optional<KernelPlace> {
      if (budget.roots == 0) return std::nullopt;
      --budget.roots;
      if (physical) return find_text_mapping(ram, Gpa{text}, table);
      for (const unsigned levels : {4U, 5U}) {
        const x86::PageRoot root{table, levels};
        const auto found = x86::translate(ram, root, Gva{text});
        if (!found || found->address.value % kTextAlign != 0 || found->address >= names ||
            names - found->address > kMaxImage)
          continue;
        const auto again = x86::translate(ram, root, Gva{text} + (names - found->address));
        if (again && again->address == names) return KernelPlace{Gva{text}, found->address, root};
      }
      return std::nullopt;
    });
  }

  Gpa start_;
  format::KallsymsLayout layout_;
  std::array<ImageRange, 3> parts_;  // offsets from start_
  std::uint64_t hash_ = 0;
  SymbolTable::Builder symbols_;
};

/// What a search saw, for the message if it ends with nothing.
struct Seen {
  std::uint64_t scanned = 0;  // bytes
  std::uint64_t unread = 0;   // bytes that the host did not give
  std::size_t tables = 0;     // real token tables
  std::optional<Error> last;  // why the last of them was refused
  bool ended = false;         // a kernel, whole, that no CPU runs
  bool given_up = false;      // the budget was spent
};

/// Looks for a kernel whose token table starts in `range` (which lies in one RAM range), and which
/// one of the CPUs of `cpus` runs, if there are any.
std::optional<FoundKernel> search(const PhysicalMemory& ram, GpaRange range,
                                  std::span<const TextHint> cpus, Budget& budget, Seen& seen) {
  for (std::uint64_t done = 0; done < range.size; done += kChunk) {
    const std::uint64_t size = std::min(range.size - done, kChunk);
    // Chunks overlap, so that a table that straddles two is whole in the first.
    const auto piece_range = around(ram, range.start + done, 0, size + kTokenTableReach);
    if (!piece_range) return std::nullopt;
    const auto piece = Piece::look(ram, piece_range->start, piece_range->size);
    if (!piece) {
      seen.unread += size;
      continue;
    }
    seen.scanned += size;
    for (const std::uint64_t at : format::find_token_tables(piece->bytes())) {
      if (at >= size) continue;  // the next chunk's
      ++seen.tables;
      if (budget.tables == 0 || budget.names == 0) {
        seen.given_up = true;
        return std::nullopt;
      }
      --budget.tables;
      auto candidate = Candidate::parse(ram, piece_range->start + at, budget);
      if (!candidate) {
        seen.last = candidate.error();
        continue;
      }
      const auto place = candidate->place(ram, budget);
      if (place && (cpus.empty() || runs_at(ram, *place, cpus)))
        return std::move(*candidate).finish(ram, *place);
      seen.ended = seen.ended || place.has_value();
      seen.last =
          place ? Error{Errc::not_found, place->text.value, "a CPU that runs it"} : place.error();
    }
  }
  return std::nullopt;
}

/// The populated parts of [from, to), searched in order.
std::optional<FoundKernel> search_populated(const PhysicalMemory& ram, Gpa from, Gpa to,
                                            std::span<const TextHint> cpus, Budget& budget,
                                            Seen& seen) {
  while (from < to && !seen.given_up) {
    auto next = ram.next_populated(from);
    if (!next || next->start >= to || next->size == 0) return std::nullopt;
    next->size = std::min(next->size, to - next->start);
    if (auto found = search(ram, *next, cpus, budget, seen)) return found;
    from = next->end();
  }
  return std::nullopt;
}

/// What is said of an image in which nothing was found; a machine may be tried again.
constexpr std::string_view kImageHint =
    "is it all the memory of a machine that runs Linux? `vitrine info` says how it was read";
constexpr std::string_view kMachineHint =
    "the machine may still be in its firmware or boot loader, or run another system; try again "
    "when it has booted";

std::string mebibytes(std::uint64_t bytes) {
  return fmt::format("{} MiB", (bytes + kMiB / 2) / kMiB);
}

/// What is said when no kernel was found, by what else there is.
Problem nothing_found(const PhysicalMemory& ram, const Seen& seen, bool runs_64_bit_code,
                      bool image) {
  const auto name = find_kernel_name(ram);
  if (name && name->is_32_bit() && !runs_64_bit_code) {
    return Problem(Errc::not_found,
                   fmt::format("the guest runs a 32-bit kernel: Linux {} for {}", name->release,
                               name->machine),
                   "Vitrine reads 64-bit kernels (x86_64) only");
  }
  if (name && runs_64_bit_code && seen.tables == 0) {
    return Problem(
        Errc::unsupported,
        fmt::format("the guest runs Linux {}, and it was built without kallsyms: nothing "
                    "in its RAM names its parts",
                    name->release),
        "a kernel with CONFIG_KALLSYMS=y is needed (CONFIG_KALLSYMS_ALL=y and "
        "CONFIG_DEBUG_INFO_BTF=y for all views), as distributions have it");
  }
  std::string message = "no Linux kernel was found";
  if (seen.scanned != 0) message += fmt::format(" in {} of RAM", mebibytes(seen.scanned));
  if (seen.unread != 0) {
    message += fmt::format("{} {} of RAM could not be read", seen.scanned != 0 ? ";" : ":",
                           mebibytes(seen.unread));
  } else if (seen.scanned == 0) {
    message += ": the memory holds nothing but zeros";
  }
  if (seen.tables > 0 && seen.last) {
    message += fmt::format(" ({} kallsyms token table{}, none of a running kernel: {})",
                           seen.tables, seen.tables == 1 ? "" : "s", describe(*seen.last));
  }
  if (seen.given_up) message += "; the search was given up: more tables than any machine has";
  if (name) {
    return Problem(
        Errc::not_found, std::move(message),
        fmt::format("the name of a Linux {} for {} lies in RAM: it is not up yet, has gone, "
                    "or was built without kallsyms",
                    name->release, name->machine));
  }
  return Problem(Errc::not_found, std::move(message),
                 runs_64_bit_code ? std::string("the CPUs do run 64-bit kernel code; if that is "
                                                "Linux, it was built without kallsyms")
                                  : std::string(image ? kImageHint : kMachineHint));
}

}  // namespace

std::vector<TextHint> text_hints(const PhysicalMemory& ram, std::span<const x86::Registers> cpus) {
  std::vector<TextHint> hints;
  for (const auto& cpu : cpus) {
    if (!cpu.paging() || !cpu.long_mode()) continue;
    const auto root = x86::PageRoot::from(cpu.cr3, cpu.five_levels());
    for (std::size_t vector = 0; vector < kExceptionVectors; ++vector) {
      // The table may straddle pages; a gate never does.
      const auto gate_at = x86::translate(ram, root, cpu.idtr.base + vector * kGateSize);
      if (!gate_at) continue;
      std::array<std::byte, kGateSize> gate;
      if (!ram.read(gate_at->address, gate)) continue;
      const std::uint64_t handler = handler_of(gate);
      if (handler < kKernelMap) continue;
      const auto text = x86::translate(ram, root, Gva{handler});
      if (!text) continue;
      hints.push_back({Gva{handler}, text->address});
      break;
    }
  }
  return hints;
}

bool runs_at(const PhysicalMemory& ram, const KernelPlace& place, std::span<const TextHint> hints) {
  return std::ranges::any_of(hints, [&](const TextHint& hint) {
    const auto there = x86::translate(ram, place.root, hint.handler);
    return there && there->address == hint.physical;
  });
}

std::optional<KernelPlace> find_text_mapping(const PhysicalMemory& ram, Gpa text, Gpa table) {
  for (const unsigned levels : {4U, 5U}) {
    const x86::PageRoot root{table, levels};
    std::optional<KernelPlace> place;
    const auto walked =
        x86::for_each_mapping(ram, root, Gva{kKernelMap}, Gva{kKernelMap + kKernelMapSize},
                              kTablesPerMapping, [&](const x86::Mapping& mapping) {
                                const std::uint64_t inside = text - mapping.first.address;
                                if (inside < mapping.size)
                                  place = KernelPlace{mapping.start + inside, text, root};
                                return !place;
                              });
    if (walked && place) return place;
  }
  return std::nullopt;
}

Outcome<FoundKernel> find_kernel(const PhysicalMemory& ram, std::span<const TextHint> hints,
                                 bool image) {
  Seen seen;
  Budget budget;
  std::vector<Gpa> looked;  // CPUs of one kernel lead to one place
  for (const TextHint& hint : hints) {
    const Gpa start{hint.physical.value & ~(kTextAlign - 1)};
    if (std::ranges::find(looked, start) != looked.end()) continue;
    looked.push_back(start);
    const Gpa below{start.value > kNearHint ? start.value - kNearHint : 0};
    // .rodata follows the text.
    auto found = search_populated(ram, start, start + kNearHint, hints, budget, seen);
    if (!found) found = search_populated(ram, below, start, hints, budget, seen);
    if (found) {
      found->how = "the interrupt handlers";
      return std::move(*found);
    }
  }
  if (ram.ram().empty()) return std::unexpected(nothing_found(ram, {}, !hints.empty(), image));
  const auto scan = [&](std::span<const TextHint> cpus) {
    seen = {};
    budget = {};
    return search_populated(ram, ram.ram().front().start, ram.ram().back().end(), cpus, budget,
                            seen);
  };
  auto found = scan(hints);
  if (!found && seen.ended) found = scan({});
  if (!found) return std::unexpected(nothing_found(ram, seen, !hints.empty(), image));
  found->how = fmt::format("a scan of {} of RAM", mebibytes(seen.scanned));
  return std::move(*found);
}

}  // namespace vitrine::linux
