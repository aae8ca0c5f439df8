#include "probe/agent/guest_memory.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kFrameMask = 0x000f'ffff'ffff'f000;

struct Mapped {
  std::uint64_t start, end;
};

std::vector<Mapped> own_mappings() {
  std::vector<Mapped> mapped;
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/proc/self/maps", "re"),
                                                   std::fclose);
  if (!file) return mapped;
  char line[4352];
  while (std::fgets(line, sizeof line, file.get()) != nullptr) {
    std::uint64_t start = 0, end = 0;
    char mode[5] = "";
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, mode) != 3 || mode[0] != 'r')
      continue;
    if (!mapped.empty() && mapped.back().end == start)
      mapped.back().end = end;
    else
      mapped.push_back({start, end});
  }
  return mapped;
}

}  // namespace

HostedRam::HostedRam(const std::vector<AgentRam>& ranges, std::size_t& refused) {
  refused = update(ranges);
}

std::size_t HostedRam::update(const std::vector<AgentRam>& ranges) {
  const auto mapped = own_mappings();
  auto next = std::make_unique<Ranges>();
  for (const auto& range : ranges) {
    const bool inside = std::any_of(mapped.begin(), mapped.end(), [&](const Mapped& mapping) {
      return range.hva >= mapping.start && range.hva < mapping.end &&
             range.size <= mapping.end - range.hva;
    });
    if (inside) next->push_back(range);
  }
  const auto refused = ranges.size() - next->size();
  const std::lock_guard lock(mutex_);
  now_.store(next.get(), std::memory_order_release);
  all_.push_back(std::move(next));
  return refused;
}

bool HostedRam::read_pages(std::uint64_t gpa, MutableBytes into) const noexcept {
  const auto& ranges = *now_.load(std::memory_order_acquire);
  while (!into.empty()) {
    const auto part = std::min<std::uint64_t>(into.size(), kPage - gpa % kPage);
    const auto range = std::find_if(ranges.begin(), ranges.end(), [&](const AgentRam& one) {
      return gpa - one.gpa < one.size && part <= one.size - (gpa - one.gpa);
    });
    if (range == ranges.end()) return false;
    auto* from = reinterpret_cast<std::byte*>(
        range->hva + (gpa - range->gpa));  // NOLINT(performance-no-int-to-ptr)
    if (range->removable == 0) {
      std::memcpy(into.data(), from, part);
    } else {
      // It may be unmapped between two instructions: the kernel looks for us.
      const iovec to{into.data(), part}, at{from, part};
      if (::process_vm_readv(::getpid(), &to, 1, &at, 1, 0) != static_cast<ssize_t>(part))
        return false;
    }
    into = into.subspan(part);
    gpa += part;
  }
  return true;
}

void GuestMemory::begin(std::uint64_t cr3, bool five_levels) noexcept {
  if (kernel_.isolated) cr3 &= ~(1ULL << 12);
  const auto root = cr3 & kFrameMask;
  root_ = root;
  levels_ = five_levels ? 5 : 4;
  for (auto& slot : slots_) slot.page = 1;
}

std::optional<std::uint64_t> GuestMemory::physical(std::uint64_t va) const noexcept {
  auto& slot = slots_[va / kPage % kSlots];
  if (slot.page == (va & ~(kPage - 1))) return slot.frame + va % kPage;
  const unsigned width = 12 + 9 * levels_;
  const auto upper = static_cast<std::int64_t>(va) >> (width - 1);
  if (upper != 0 && upper != -1) return std::nullopt;
  std::uint64_t table = root_;
  for (unsigned level = levels_; level > 0; --level) {
    const unsigned shift = 12 + 9 * (level - 1);
    std::uint64_t entry = 0;
    if (!ram_.entry(table + (va >> shift & 511) * 8, entry)) return std::nullopt;
    if ((entry & 1) == 0) return std::nullopt;
    const bool large = level > 1 && (entry & 0x80) != 0;
    if (large && level > 3) return std::nullopt;
    if (level == 1 || large) {
      const std::uint64_t offset = va & ((1ULL << shift) - 1);
      const std::uint64_t frame = (entry & kFrameMask & ~((1ULL << shift) - 1)) + offset;
      slot.page = va & ~(kPage - 1);
      slot.frame = frame & ~(kPage - 1);
      return frame;
    }
    table = entry & kFrameMask;
  }
  return std::nullopt;
}

bool GuestMemory::read(std::uint64_t va, MutableBytes into) const noexcept {
  while (!into.empty()) {
    const auto part = std::min<std::uint64_t>(into.size(), kPage - va % kPage);
    const auto at = physical(va);
    if (!at || !ram_.read(*at, into.first(part))) return false;
    into = into.subspan(part);
    va += part;
  }
  return true;
}

}  // namespace vitrine::probe
