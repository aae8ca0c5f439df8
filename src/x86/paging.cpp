#include "x86/paging.h"

#include <array>
#include <optional>

namespace vitrine::x86 {
namespace {

constexpr std::uint64_t kPresent = 1U << 0;
constexpr std::uint64_t kWritable = 1U << 1;
constexpr std::uint64_t kUser = 1U << 2;
constexpr std::uint64_t kLeaf = 1U << 7;  // PS, in the tables that may hold pages
constexpr std::uint64_t kKept = 1U << 8;  // with P clear: Linux' _PAGE_PROTNONE
constexpr std::uint64_t kNoExecute = 1ULL << 63;
constexpr std::uint64_t kFrame = 0x000f'ffff'ffff'f000;

constexpr unsigned kIndexBits = 9;
constexpr std::uint64_t kEntries = 1U << kIndexBits;

/// The shift of what one entry at `level` spans: level 1 is a 4 KiB page.
constexpr unsigned span_shift(unsigned level) { return 12 + kIndexBits * (level - 1); }
/// A page can stand at levels 1 (4 KiB), 2 (2 MiB) and 3 (1 GiB).
constexpr unsigned kHighestLeaf = 3;

constexpr bool canonical(std::uint64_t address, unsigned levels) {
  const unsigned unused = 64 - (12 + kIndexBits * levels);
  const auto extended =
      static_cast<std::uint64_t>(static_cast<std::int64_t>(address << unused) >> unused);
  return extended == address;
}

struct Rights {
  bool writable = true, user = true, executable = true;
  void narrow(std::uint64_t entry) {
    writable = writable && (entry & kWritable) != 0;
    user = user && (entry & kUser) != 0;
    executable = executable && (entry & kNoExecute) == 0;
  }
};

bool is_leaf(std::uint64_t entry, unsigned level) { return level == 1 || (entry & kLeaf) != 0; }

/// The entry as if it were present, if it is one of an untouchable page. Programs have the lower
/// half; the kernel's own pages have bit 8 for something else.
std::optional<std::uint64_t> untouchable(std::uint64_t entry, unsigned level, const PageRoot& root,
                                         std::uint64_t address) {
  if (!root.untouchable || address >> 63 != 0 || (entry & kKept) == 0 || level > kHighestLeaf ||
      !is_leaf(entry, level))
    return std::nullopt;
  return entry ^ kFrame;
}

Translation leaf(std::uint64_t entry, unsigned level, std::uint64_t address, const Rights& rights) {
  const std::uint64_t size = 1ULL << span_shift(level);
  return {Gpa{(entry & kFrame & ~(size - 1)) | (address & (size - 1))}, size, rights.writable,
          rights.user, rights.executable};
}

}  // namespace

Result<Translation> translate(const PhysicalMemory& ram, PageRoot root, Gva address) {
  if (!canonical(address.value, root.levels)) return fail(Errc::not_canonical, address.value);
  Gpa table = root.table;
  Rights rights;
  for (unsigned level = root.levels; level >= 1; --level) {
    const std::uint64_t index = address.value >> span_shift(level) & (kEntries - 1);
    const Gpa at = table + index * sizeof(std::uint64_t);
    const auto entry = TRY(ram.load<std::uint64_t>(at));
    if ((entry & kPresent) == 0) {
      const auto kept = untouchable(entry, level, root, address.value);
      if (!kept) return fail(Errc::not_present, at.value, "page-table entry");
      return leaf(*kept, level, address.value, Rights{false, false, false});
    }
    rights.narrow(entry);
    if (is_leaf(entry, level)) {
      if (level > kHighestLeaf) return fail(Errc::malformed, at.value, "page size bit");
      return leaf(entry, level, address.value, rights);
    }
    table = Gpa{entry & kFrame};
  }
  return fail(Errc::malformed, address.value, "page tables");
}

namespace {

/// Walks tables depth first and merges neighbours; state of one for_each_mapping().
class MappingWalk {
 public:
  MappingWalk(const PhysicalMemory& ram, std::uint64_t from, std::uint64_t last, std::size_t limit,
              const std::function<bool(const Mapping&)>& visit)
      : ram_(ram), from_(from), last_(last), limit_(limit), visit_(visit) {}

  Result<std::size_t> run(PageRoot root) {
    if (from_ <= last_) {
      root_ = root;
      TRY(table(root.table, root.levels, 0, Rights{}));
      flush();
    }
    return tables_;
  }

 private:
  Result<void> table(Gpa at, unsigned level, std::uint64_t base, Rights rights) {
    if (++tables_ > limit_) return fail(Errc::cycle, at.value, "page tables");
    std::array<std::uint64_t, kEntries> entries;
    if (!ram_.read(at, std::as_writable_bytes(std::span(entries)))) return {};
    for (std::uint64_t i = 0; i < kEntries && !stopped_; ++i) {
      const std::uint64_t entry = entries[i];
      if ((entry & kPresent) == 0 && !root_.untouchable) continue;
      const unsigned shift = span_shift(level);
      std::uint64_t start = base | i << shift;
      if (level == root_.levels && i >= kEntries / 2) {
        start |= ~((1ULL << span_shift(level + 1)) - 1);  // the upper half is sign-extended
      }
      const std::uint64_t end = start + ((1ULL << shift) - 1);
      if (end < from_ || start > last_) continue;
      if ((entry & kPresent) == 0) {
        if (const auto kept = untouchable(entry, level, root_, start))
          add(start, 1ULL << shift, leaf(*kept, level, start, Rights{false, false, false}));
        continue;
      }
      Rights inner = rights;
      inner.narrow(entry);
      if (is_leaf(entry, level)) {
        if (level > kHighestLeaf) continue;
        add(start, 1ULL << shift, leaf(entry, level, start, inner));
      } else {
        TRY(table(Gpa{entry & kFrame}, level - 1, start, inner));
      }
    }
    return {};
  }

  void add(std::uint64_t start, std::uint64_t size, const Translation& to) {
    const bool joins = run_.size != 0 && run_.start.value + run_.size == start &&
                       run_.first.address.value + run_.size == to.address.value &&
                       run_.first.writable == to.writable && run_.first.user == to.user &&
                       run_.first.executable == to.executable;
    if (joins) {
      run_.size += size;
      return;
    }
    flush();
    run_ = Mapping{Gva{start}, size, to};
  }

  void flush() {
    if (run_.size != 0 && !stopped_) stopped_ = !visit_(run_);
    run_ = {};
  }

  const PhysicalMemory& ram_;
  std::uint64_t from_, last_;
  std::size_t limit_;
  PageRoot root_;
  const std::function<bool(const Mapping&)>& visit_;
  std::size_t tables_ = 0;
  bool stopped_ = false;
  Mapping run_;
};

}  // namespace

Result<std::size_t> for_each_mapping(const PhysicalMemory& ram, PageRoot root, Gva from, Gva to,
                                     std::size_t limit,
                                     const std::function<bool(const Mapping&)>& visit) {
  return MappingWalk(ram, from.value, to.value - 1, limit, visit).run(root);
}

}  // namespace vitrine::x86
