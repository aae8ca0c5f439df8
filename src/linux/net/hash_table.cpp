#include "linux/net/hash_table.h"

#include <algorithm>
#include <array>
#include <vector>

#include "linux/walk/list.h"

namespace vitrine::linux::net {
namespace {

constexpr std::uint64_t kChunk = 16 * kKiB;
constexpr unsigned kTries = 4;

class Walk {
 public:
  Walk(const VirtualMemory& memory, const HashTable& table, std::size_t limit,
       const std::function<bool(Gva)>& visit)
      : memory_(memory), table_(table), limit_(limit), visit_(visit) {}

  Walked run() {
    std::uint64_t count = table_.count;
    bool too_many = false;
    if (count > kMaxBuckets) {
      too_many = true;
      count = kMaxBuckets;
    }
    if (table_.stride < 8 || table_.stride > kPageSize || table_.head > table_.stride - 8 ||
        !is_kernel_pointer(table_.buckets)) {
      walked_.broken = Error{Errc::malformed, table_.buckets.value, "hash table"};
      return walked_;
    }
    std::vector<std::byte> chunk(kChunk);
    const std::uint64_t per_chunk = kChunk / table_.stride;
    for (std::uint64_t from = 0; from < count && !full(); from += per_chunk) {
      const std::uint64_t piece = std::min(count - from, per_chunk);
      const auto bytes = MutableBytes(chunk).first(static_cast<std::size_t>(piece * table_.stride));
      const bool whole = memory_.read(table_.buckets + from * table_.stride, bytes).has_value();
      for (std::uint64_t i = 0; i < piece && !full(); ++i) {
        const Gva head = table_.buckets + (from + i) * table_.stride + table_.head;
        if (whole) {
          walk_bucket(head, from + i, *load<std::uint64_t>(bytes, i * table_.stride + table_.head));
        } else if (const auto first = memory_.load<std::uint64_t>(head)) {
          walk_bucket(head, from + i, *first);
        } else {
          walked_.broken = first.error();
        }
      }
    }
    walked_.truncated |= too_many;
    return walked_;
  }

  std::size_t retries = 0;

 private:
  bool full() const { return walked_.stopped || walked_.truncated; }

  bool is_end(std::uint64_t pointer) const {
    return pointer == 0 || (table_.nulls && (pointer & 1) != 0);
  }

  void walk_bucket(Gva head, std::uint64_t index, std::uint64_t first) {
    if (is_end(first)) return;
    for (unsigned attempt = 1; !collect(head, index, first); ++attempt) {
      if (attempt == kTries) {
        ++walked_.mismatches;
        if (error_) walked_.broken = error_;
        break;
      }
      ++retries;
      const auto again = memory_.load<std::uint64_t>(head);
      if (!again) {
        walked_.broken = again.error();
        break;
      }
      first = *again;
    }
    for (const Gva node : chain_) {
      if (walked_.visited == limit_) {
        walked_.truncated = true;
        return;
      }
      ++walked_.visited;
      if (!visit_(node)) {
        walked_.stopped = true;
        return;
      }
    }
  }

  /// Fills chain_. @returns whether the chain was consistent from its head to its end.
  bool collect(Gva head, std::uint64_t index, std::uint64_t first) {
    chain_.clear();
    error_.reset();
    LoopGuard guard;
    Gva holder = head;
    bool sound = true;
    std::uint64_t at = first;
    for (; !is_end(at); at = next_) {
      if (!is_kernel_pointer(Gva{at})) {
        error_ = Error{Errc::malformed, holder.value, "hlist_node.next"};
        return false;
      }
      if (guard.closes(Gva{at})) {
        error_ = Error{Errc::cycle, at, "hlist_node.next"};
        return false;
      }
      if (walked_.visited + chain_.size() > limit_) return true;  // said as truncated later
      const auto link = memory_.load<std::array<std::uint64_t, 2>>(Gva{at});
      if (!link) {
        error_ = link.error();
        return false;
      }
      if ((*link)[1] != holder.value) sound = false;
      chain_.push_back(Gva{at});
      holder = Gva{at};
      next_ = (*link)[0];
    }
    if (table_.nulls) {
      // Source: NULLS_MARKER(value) is 1 | value << 1; get_nulls_value() is an unsigned shift.
      sound = sound && (at & 1) != 0 && at >> 1 == table_.first_mark + index;
    }
    return sound;
  }

  const VirtualMemory& memory_;
  const HashTable& table_;
  std::size_t limit_;
  const std::function<bool(Gva)>& visit_;
  std::vector<Gva> chain_;
  std::uint64_t next_ = 0;
  std::optional<Error> error_;
  Walked walked_;
};

}  // namespace

Walked walk_hash_table(const VirtualMemory& memory, const HashTable& table, std::size_t limit,
                       const std::function<bool(Gva)>& visit, std::size_t* retries) {
  Walk walk(memory, table, limit, visit);
  auto walked = walk.run();
  if (retries != nullptr) *retries += walk.retries;
  return walked;
}

}  // namespace vitrine::linux::net
