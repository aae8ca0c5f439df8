#include "probe/agent/values_before.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vitrine::probe {
namespace {
constexpr std::uint64_t kPage = 4096;
}

ValuesBefore::ValuesBefore(std::size_t vcpus, std::size_t most) : most_(most), kept_(vcpus) {
  for (auto& kept : kept_) {
    kept.bytes.resize(most);
    kept.frames.reserve(most / kPage + 2);
  }
}

bool ValuesBefore::overlap(const Kept& one, const Kept& other) noexcept {
  // Of the page that holds the i-th frame: the bytes that are kept.
  const auto bytes = [](const Kept& kept, std::size_t i) {
    const auto page = (kept.start / kPage + i) * kPage;
    return std::pair(std::max(kept.start, page) - page,
                     std::min(kept.start + kept.size, page + kPage) - page);
  };
  for (std::size_t i = 0; i < one.frames.size(); ++i) {
    for (std::size_t j = 0; j < other.frames.size(); ++j) {
      if (one.frames[i] != other.frames[j]) continue;
      const auto [a, a_end] = bytes(one, i);
      const auto [b, b_end] = bytes(other, j);
      if (a < b_end && b < a_end) return true;
    }
  }
  return false;
}

void ValuesBefore::keep(unsigned vcpu, const GuestMemory& memory, std::uint64_t start,
                        std::uint64_t size) noexcept {
  auto& kept = kept_[vcpu];
  {
    const std::lock_guard lock(mutex_);
    kept.start = start;
    kept.size = 0;
    kept.frames.clear();
    kept.contested = false;
    size = std::min<std::uint64_t>(size, most_);
    while (kept.size < size) {
      const auto at = start + kept.size;
      const auto physical = memory.physical(at);
      if (!physical) break;
      kept.frames.push_back(*physical / kPage);
      kept.size += std::min<std::uint64_t>(size - kept.size, kPage - at % kPage);
    }
    // Whoever comes second sees the first, as long as its instruction may be under way: before
    // any of them reads.
    for (auto& other : kept_) {
      if (&other != &kept && other.size != 0 && overlap(kept, other))
        kept.contested = other.contested = true;
    }
  }
  std::size_t got = 0;
  for (const auto frame : kept.frames) {
    const auto at = start + got;
    const auto part = std::min<std::uint64_t>(kept.size - got, kPage - at % kPage);
    if (!memory.ram().read(frame * kPage + at % kPage, MutableBytes(kept.bytes).subspan(got, part)))
      return forget(vcpu);
    got += part;
  }
}

void ValuesBefore::forget(unsigned vcpu) noexcept {
  const std::lock_guard lock(mutex_);
  kept_[vcpu].size = 0;
  kept_[vcpu].frames.clear();
}

std::optional<std::uint64_t> ValuesBefore::find(unsigned vcpu, std::uint64_t address, unsigned size,
                                                std::uint64_t physical) const noexcept {
  const auto& kept = kept_[vcpu];
  const auto at = address - kept.start;
  if (size > 8 || at >= kept.size || size > kept.size - at) return std::nullopt;
  const auto page = address / kPage - kept.start / kPage;
  if (kept.frames[page] != physical / kPage) return std::nullopt;
  {
    const std::lock_guard lock(mutex_);
    if (kept.contested) return std::nullopt;
  }
  std::uint64_t value = 0;
  std::memcpy(&value, kept.bytes.data() + at, size);
  return value;
}

void ValuesBefore::wrote(unsigned vcpu, std::uint64_t address, unsigned size,
                         std::uint64_t value) noexcept {
  auto& kept = kept_[vcpu];
  const auto at = address - kept.start;
  if (at >= kept.size) return;
  std::memcpy(kept.bytes.data() + at, &value, std::min<std::size_t>({size, 8, kept.size - at}));
}

}  // namespace vitrine::probe
