#include "symptom/patterns/pattern_scanner.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>

#include "linux/field.h"
#include "linux/tasks.h"
#include "linux/type_catalogue.h"
#include "x86/paging.h"
#include "x86/user_half.h"

namespace vitrine::symptom {
namespace {

/// What is looked at together: it stays in the processor's cache, and with what is looked at again
/// before it, it is a window that every memory gives.
constexpr std::uint64_t kChunk = 128 * kKiB;
constexpr int kSeconds = 60;  // of YARA in one call

bool is_zero(Bytes page) {
  // Eight words at a time; a page of zeros is read once, at the speed of memory.
  std::uint64_t any = 0;
  for (std::size_t i = 0; i + 8 <= page.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, page.data() + i, 8);
    any |= word;
    if ((i & 0x1ff) == 0x1f8 && any != 0) return false;
  }
  return any == 0;
}

}  // namespace

struct PatternScanner::State {
  const linux::Kernel& kernel;
  PatternRules& rules;
  std::uint64_t secret = 0;
  struct Page {
    std::uint64_t hash = 0;
    /// What YARA must see of what is complete with a byte of this page, relative to the page; none:
    /// low > high.
    std::int32_t low = 1, high = 0;
    void reach(std::int64_t from, std::int64_t to) {
      const bool none = low > high;
      low = static_cast<std::int32_t>(none ? from : std::min<std::int64_t>(low, from));
      high = static_cast<std::int32_t>(none ? to : std::max<std::int64_t>(high, to));
    }
  };
  std::vector<Page> pages;    ///< by frame, as far as RAM goes
  std::vector<bool> wanted;   ///< what YARA must see
  std::vector<bool> matched;  ///< what it matched in, the last time
  std::vector<PatternHit> hits;
  bool known = false;  ///< hits are of a pass that went well
  linux::Field<Gva> mm;
  linux::Field<std::string> comm;
  bool have_fields = false;
  std::vector<std::size_t> changed;  ///< frames that this pass found changed

  State(const linux::Kernel& k, PatternRules& r) : kernel(k), rules(r) {}
  [[nodiscard]] const PhysicalMemory& ram() const { return kernel.ram(); }
  /// 0: zeros, which nothing is searched for in.
  [[nodiscard]] std::uint64_t hash(Bytes page) const {
    if (!rules.needs_zeros() && is_zero(page)) return 0;
    const auto hash = XXH3_64bits_withSeed(page.data(), page.size(), secret);
    return hash == 0 ? 1 : hash;
  }
};

PatternScanner::PatternScanner(const linux::Kernel& kernel, PatternRules& rules)
    : state_(std::make_unique<State>(kernel, rules)) {
  std::random_device random;
  state_->secret = std::uint64_t{random()} << 32 | random();
  std::uint64_t end = 0;
  for (const auto& range : kernel.ram().ram()) end = std::max(end, range.end().value);
  // A map that claims more than a machine has is no reason to reserve for it.
  state_->pages.resize(
      static_cast<std::size_t>(std::min<std::uint64_t>(end / kPageSize, 1ULL << 30)));
  linux::FieldBinder bind(kernel.types());
  bind(state_->mm, "task_struct.mm");
  bind(state_->comm, "task_struct.comm");
  state_->have_fields = bind.done().has_value();
}

PatternScanner::~PatternScanner() = default;

/// Hashes every page; what is not as it was is searched for what announces a match.
void PatternScanner::search_changes(PatternTally& tally) {
  auto& s = *state_;
  const auto overlap = s.rules.overlap();
  const bool live = s.kernel.machine().live();
  std::vector<std::byte> buffer;
  s.changed.clear();
  for (auto from = s.ram().next_populated(Gpa{0}); from;
       from = s.ram().next_populated(from->end())) {
    for (std::uint64_t at = from->start.value; at < from->end().value; at += kChunk) {
      const auto size = std::min(kChunk, from->end().value - at);
      // What ends here may have begun before: a little of that is looked at again.
      const auto before = std::min<std::uint64_t>(at - from->start.value, overlap);
      Bytes bytes = s.ram().window(Gpa{at - before}, size + before);
      if (bytes.empty()) {
        buffer.resize(size + before);
        if (!s.ram().read(Gpa{at - before}, buffer)) continue;
        bytes = buffer;
      }
      const auto frame = [&](std::uint64_t offset) {
        return static_cast<std::size_t>((at + offset) / kPageSize);
      };
      const auto content = [&](std::uint64_t page) {
        return bytes.subspan(before + page, std::min(kPageSize, size - page));
      };
      // What is searched must be what was hashed: the guest may write between the two, and a page
      // that is known by its hash is not searched again. So where something changed, a copy is.
      if (live && bytes.data() != buffer.data()) {
        bool changed = false;
        for (std::uint64_t page = 0; page < size && !changed && frame(page) < s.pages.size();
             page += kPageSize)
          changed = s.hash(content(page)) != s.pages[frame(page)].hash;
        if (changed) {
          buffer.resize(size + before);
          std::memcpy(buffer.data(), bytes.data(), buffer.size());
          bytes = buffer;
        } else {
          tally.pages += size / kPageSize;
          continue;
        }
      }
      for (std::uint64_t page = 0; page < size;) {
        // A run of pages that are not what they were, up to one that is.
        std::uint64_t end = page;
        for (; end < size && frame(end) < s.pages.size(); end += kPageSize) {
          auto& known = s.pages[frame(end)];
          ++tally.pages;
          const auto hash = s.hash(content(end));
          if (hash == known.hash) break;
          known = {};
          known.hash = hash;
          if (s.rules.needs_everything()) known.reach(0, kPageSize);
          s.changed.push_back(frame(end));
          ++tally.looked_at;
        }
        if (end > page) {
          const auto back = std::min<std::uint64_t>(page + before, overlap);
          // What follows a change may complete what begins in it.
          const auto ahead = std::min<std::uint64_t>(size - end, overlap);
          const auto base = at + page - back;
          s.rules.announce(bytes.subspan(before + page - back, end - page + back + ahead),
                           [&](std::uint64_t last, std::int64_t begin, std::int64_t stop) {
                             const auto in = static_cast<std::size_t>((base + last) / kPageSize);
                             const auto shift = static_cast<std::int64_t>(base) -
                                                static_cast<std::int64_t>(in * kPageSize);
                             if (in < s.pages.size())
                               s.pages[in].reach(begin + shift, stop + shift);
                           });
        }
        page = end + kPageSize;
      }
    }
  }
}

Outcome<std::vector<PatternHit>> PatternScanner::scan_memory(PatternTally& tally) {
  auto& s = *state_;
  const auto before = s.wanted;
  search_changes(tally);
  s.wanted.assign(s.pages.size(), false);
  for (std::size_t i = 0; i < s.pages.size(); ++i) {
    const auto& page = s.pages[i];
    if (page.low > page.high) continue;
    ++tally.candidates;
    const auto at = static_cast<std::int64_t>(i * kPageSize);
    const auto first =
        static_cast<std::size_t>(std::max<std::int64_t>(at + page.low, 0)) / kPageSize;
    const auto last =
        static_cast<std::size_t>(std::max<std::int64_t>(at + page.high - 1, 0)) / kPageSize;
    for (auto j = first; j <= std::min(last, s.pages.size() - 1); ++j) s.wanted[j] = true;
  }
  // Nothing that YARA saw has changed, and it is to see nothing else: it would say the same again.
  if (s.known && s.wanted == before &&
      std::ranges::none_of(s.changed, [&](std::size_t frame) { return s.wanted[frame]; })) {
    return s.hits;
  }
  s.known = false;
  std::vector<PatternBlock> blocks;
  std::vector<std::vector<std::byte>> copies;
  for (std::size_t i = 0; i < s.wanted.size(); ++i) {
    if (!s.wanted[i]) continue;
    auto end = i;
    while (end < s.wanted.size() && s.wanted[end]) ++end;
    if (tally.given_bytes > kMaxGiven) {
      tally.notes.push_back(
          fmt::format("patterns: more than {} MiB announce a match: the rest was not looked at",
                      kMaxGiven / kMiB));
      break;
    }
    // The guest may write while YARA reads: a copy is of one moment for both of YARA's looks.
    std::vector<std::byte> copy;
    std::uint64_t base = i * kPageSize;
    const auto keep = [&] {
      if (copy.empty()) return;
      tally.given_bytes += copy.size();
      copies.push_back(std::move(copy));
      blocks.push_back({base, copies.back()});
      copy = {};
    };
    for (auto page = i; page < end; ++page) {
      if (copy.empty()) base = page * kPageSize;
      const auto size = copy.size();
      copy.resize(size + kPageSize);
      if (s.ram().read(Gpa{page * kPageSize}, MutableBytes(copy).subspan(size))) continue;
      copy.resize(size);  // a hole
      keep();
    }
    keep();
    i = end;
  }
  if (blocks.empty()) blocks.push_back({0, {}});
  s.hits = TRY(s.rules.scan(blocks, kSeconds));
  s.known = tally.notes.empty();
  s.matched.assign(s.pages.size(), false);
  for (const auto& hit : s.hits) {
    if (hit.match_count > hit.matches.size())
      tally.notes.push_back(fmt::format("patterns: {} matches {} times: {} are kept", hit.rule,
                                        hit.match_count, hit.matches.size()));
    for (const auto& match : hit.matches) {
      const auto last = (match.offset + std::max<std::uint64_t>(match.length, 1) - 1) / kPageSize;
      for (auto frame = match.offset / kPageSize; frame <= last && frame < s.matched.size();
           ++frame)
        s.matched[frame] = true;
    }
  }
  return s.hits;
}

std::vector<OwnedHits> PatternScanner::scan_processes(PatternTally& tally) {
  auto& s = *state_;
  std::vector<OwnedHits> all;
  auto tasks = linux::TaskList::open(s.kernel);
  if (!tasks || !s.have_fields) return all;
  const auto overlap = static_cast<std::size_t>(s.rules.overlap());
  std::set<std::pair<std::uint64_t, std::uint64_t>>
      joints;  // frames whose border announced nothing
  std::vector<std::byte> border(2 * overlap);
  for (const auto& process : tasks->processes().tasks) {
    const auto mm = s.mm.read(s.kernel.memory(), process.address);
    if (!mm || !*mm) continue;
    const auto root = s.kernel.user_root(*mm);
    if (!root) continue;
    // Pages of this process, by address, that YARA is to see.
    struct Piece {
      std::uint64_t address;
      Gpa physical;
    };
    std::vector<Piece> pieces;
    std::uint64_t last_end = 0;
    Gpa last_frame;
    bool full = false;
    const auto take = [&](std::uint64_t address, Gpa physical) {
      if (!pieces.empty() && pieces.back().address == address) return;
      if (pieces.size() * kPageSize >= kMaxOfProcess) {
        full = true;
        return;
      }
      pieces.push_back({address, physical});
    };
    const auto walked = x86::for_each_mapping(
        s.ram(), *root, Gva{0}, x86::user_end(*root), kMaxTables, [&](const x86::Mapping& mapping) {
          for (std::uint64_t at = 0; at < mapping.size && !full; at += kPageSize) {
            const auto address = mapping.start.value + at;
            const Gpa physical = mapping.first.address + at;
            const auto frame = static_cast<std::size_t>(physical.value / kPageSize);
            if (frame >= s.pages.size()) continue;
            if (address == last_end && last_frame + kPageSize != physical && overlap > 0) {
              // Two pages that are neighbours here and nowhere else.
              const auto joint = std::pair(last_frame.value, physical.value);
              if (!joints.contains(joint)) {
                const bool read = s.ram().read(last_frame + (kPageSize - overlap),
                                               MutableBytes(border).first(overlap)) &&
                                  s.ram().read(physical, MutableBytes(border).subspan(overlap));
                bool crosses = false;
                if (read) {
                  s.rules.announce(border, [&](std::uint64_t last, std::int64_t, std::int64_t) {
                    crosses = crosses || last >= overlap;
                  });
                }
                if (crosses) {
                  take(last_end - kPageSize, last_frame);
                  take(address, physical);
                } else {
                  joints.insert(joint);
                }
              }
            }
            if (frame < s.matched.size() && s.matched[frame]) take(address, physical);
            last_end = address + kPageSize;
            last_frame = physical;
          }
          return !full;
        });
    if (full || !walked)
      tally.notes.push_back(fmt::format("patterns: not all of pid {} was looked at", process.tgid));
    if (pieces.empty()) continue;
    std::vector<std::vector<std::byte>> copies;
    std::vector<PatternBlock> blocks;
    for (std::size_t i = 0; i < pieces.size();) {
      auto end = i + 1;
      while (end < pieces.size() && pieces[end].address == pieces[end - 1].address + kPageSize)
        ++end;
      auto& copy = copies.emplace_back((end - i) * kPageSize);
      for (auto page = i; page < end; ++page) {
        if (!s.ram().read(pieces[page].physical,
                          MutableBytes(copy).subspan((page - i) * kPageSize, kPageSize)))
          continue;
      }
      tally.given_bytes += copy.size();
      blocks.push_back({pieces[i].address, copy});
      i = end;
    }
    auto hits = s.rules.scan(blocks, kSeconds);
    if (!hits) {
      tally.notes.push_back(
          fmt::format("patterns: pid {}: {}", process.tgid, hits.error().message));
      continue;
    }
    if (hits->empty() || !tasks->still(process)) continue;
    all.push_back({process.tgid, s.comm.read(s.kernel.memory(), process.address).value_or(""),
                   *std::move(hits)});
  }
  return all;
}

}  // namespace vitrine::symptom
