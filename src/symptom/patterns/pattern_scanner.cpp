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

namespace vitrine::symptom {
namespace {

constexpr std::uint64_t kChunk = 4 * kMiB;
constexpr int kSeconds = 60;  // of YARA in one call
constexpr std::uint64_t kUserEnd = 0x0000'8000'0000'0000;

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
    bool candidate = false;  ///< by what ends in it
  };
  std::vector<Page> pages;   ///< by frame, as far as RAM goes
  std::vector<bool> wanted;  ///< candidates and their neighbours
  linux::Field<Gva> mm;
  linux::Field<std::string> comm;
  bool have_fields = false;

  State(const linux::Kernel& k, PatternRules& r) : kernel(k), rules(r) {}
  [[nodiscard]] const PhysicalMemory& ram() const { return kernel.ram(); }
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

Outcome<std::vector<PatternHit>> PatternScanner::scan_memory(PatternTally& tally) {
  auto& s = *state_;
  const auto overlap = s.rules.overlap();
  std::vector<std::byte> buffer;
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
      const auto body = bytes.subspan(before);
      for (std::uint64_t page = 0; page < size;) {
        // A run of pages that are not what they were.
        const auto frame = [&](std::uint64_t offset) {
          return static_cast<std::size_t>((at + offset) / kPageSize);
        };
        std::uint64_t end = page;
        for (; end < size && frame(end) < s.pages.size(); end += kPageSize) {
          const auto content = body.subspan(end, std::min(kPageSize, size - end));
          auto& known = s.pages[frame(end)];
          ++tally.pages;
          std::uint64_t hash = 0;
          if (s.rules.needs_zeros() || !is_zero(content)) {
            hash = XXH3_64bits_withSeed(content.data(), content.size(), s.secret);
            hash += hash == 0 ? 1 : 0;
          }
          if (hash == known.hash) break;
          known.hash = hash;
          known.candidate = s.rules.needs_everything();
          ++tally.looked_at;
        }
        if (end > page) {
          const auto back = std::min<std::uint64_t>(page + before, overlap);
          const auto run = bytes.subspan(before + page - back, end - page + back);
          const auto base = at + page - back;
          // What follows a change may complete what begins in it.
          const auto ahead = std::min<std::uint64_t>(size - end, overlap);
          const auto whole =
              ahead == 0 ? run : bytes.subspan(before + page - back, end - page + back + ahead);
          s.rules.announce(whole, [&](std::uint64_t offset) {
            const auto last = static_cast<std::size_t>((base + offset) / kPageSize);
            if (last < s.pages.size()) s.pages[last].candidate = true;
          });
        }
        page = end + kPageSize;
      }
    }
  }
  s.wanted.assign(s.pages.size(), false);
  constexpr std::size_t kNeighbours = 1 + PatternRules::kReach / kPageSize;
  for (std::size_t i = 0; i < s.pages.size(); ++i) {
    if (!s.pages[i].candidate) continue;
    ++tally.candidates;
    const auto first = i >= kNeighbours ? i - kNeighbours : 0;
    for (auto j = first; j <= std::min(i + kNeighbours, s.pages.size() - 1); ++j)
      s.wanted[j] = true;
  }
  std::vector<PatternBlock> blocks;
  std::vector<std::vector<std::byte>> copies;
  for (std::size_t i = 0; i < s.wanted.size();) {
    if (!s.wanted[i]) {
      ++i;
      continue;
    }
    auto end = i;
    while (end < s.wanted.size() && s.wanted[end]) ++end;
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
      if (tally.given_bytes + copy.size() > kMaxGiven) break;
      if (copy.empty()) base = page * kPageSize;
      const auto size = copy.size();
      copy.resize(size + kPageSize);
      if (s.ram().read(Gpa{page * kPageSize}, MutableBytes(copy).subspan(size))) continue;
      copy.resize(size);  // a hole
      keep();
    }
    keep();
    if (tally.given_bytes > kMaxGiven) {
      tally.notes.push_back(
          fmt::format("patterns: more than {} MiB announce a match: the rest was not looked at",
                      kMaxGiven / kMiB));
      break;
    }
    i = end;
  }
  if (blocks.empty()) blocks.push_back({0, {}});
  return s.rules.scan(blocks, kSeconds);
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
        s.ram(), *root, Gva{0}, Gva{kUserEnd}, kMaxTables, [&](const x86::Mapping& mapping) {
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
                  s.rules.announce(border, [&](std::uint64_t offset) {
                    crosses = crosses || offset >= overlap;
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
            if (s.wanted[frame]) take(address, physical);
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
