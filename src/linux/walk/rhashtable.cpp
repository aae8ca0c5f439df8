#include "linux/walk/rhashtable.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <vector>

#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kPointer = 8;
constexpr std::uint64_t kPerPage = kPageSize / kPointer;
constexpr unsigned kTries = 4;
constexpr unsigned kMaxTables = 8;  // a resize may be overtaken by the next one

class Walk {
 public:
  Walk(const VirtualMemory& memory, const RhashtableLayout& layout, std::size_t limit,
       const std::function<bool(Gva)>& visit)
      : memory_(memory),
        layout_(layout),
        limit_(limit),
        visit_(visit),
        bucket_limit_(std::max<std::uint64_t>(limit, 64 * 1024) * 16) {}

  Walked run(Gva rhashtable) {
    const auto first = memory_.load<std::uint64_t>(rhashtable + layout_.table);
    if (!first) {
      walked_.broken = first.error();
      return walked_;
    }
    Gva table{*first};
    for (unsigned tables = 0; table && !done(); ++tables) {
      if (tables == kMaxTables) {
        walked_.broken = Error{Errc::cycle, table.value, "bucket_table.future_tbl"};
        break;
      }
      table = walk_table(table);
    }
    return walked_;
  }

 private:
  bool done() const { return walked_.stopped || walked_.truncated; }

  void broken(Errc code, std::uint64_t address, const char* what) {
    walked_.broken = Error{code, address, what};
  }

  /// @returns the table that entries are being moved to, or 0.
  Gva walk_table(Gva table) {
    if (!is_kernel_pointer(table)) {
      broken(Errc::malformed, table.value, "rhashtable.tbl");
      return {};
    }
    const auto size = memory_.load<std::uint32_t>(table + layout_.size);
    const auto nest = memory_.load<std::uint32_t>(table + layout_.nest);
    const auto future = memory_.load<std::uint64_t>(table + layout_.future);
    if (!size || !nest || !future) {
      walked_.broken = !size ? size.error() : !nest ? nest.error() : future.error();
      return {};
    }
    if (!std::has_single_bit(*size)) {
      broken(Errc::malformed, table.value + layout_.size, "bucket_table.size");
      return {};
    }
    const Gva buckets = table + layout_.buckets;
    if (*nest == 0) {
      walk_buckets(buckets, *size);
    } else if (*nest >= 32 || (*size >> *nest) == 0) {
      broken(Errc::malformed, table.value + layout_.nest, "bucket_table.nest");
    } else if (const auto top = memory_.load<std::uint64_t>(buckets); !top) {
      walked_.broken = top.error();
    } else {
      walk_nested(Gva{*top}, std::uint64_t{1} << *nest, *size >> *nest);
    }
    return Gva{*future};
  }

  /// A table of `entries` tables, each of which serves `below` buckets. Two levels serve
  /// 2^18 buckets a first-level entry; the kernel makes no more than that.
  void walk_nested(Gva at, std::uint64_t entries, std::uint64_t below, unsigned depth = 0) {
    if (!at) return;  // nothing was ever put there
    if (depth > 4 || !is_kernel_pointer(at)) {
      broken(Errc::malformed, at.value, "nested_table");
      return;
    }
    std::array<std::uint64_t, kPerPage> pointers;
    for (std::uint64_t from = 0; from < entries && !done(); from += kPerPage) {
      const auto count = std::min(entries - from, kPerPage);
      const auto chunk = std::span(pointers).first(static_cast<std::size_t>(count));
      spend(count);
      if (auto read = memory_.read(at + from * kPointer, std::as_writable_bytes(chunk)); !read) {
        walked_.broken = read.error();
        return;
      }
      for (const auto pointer : chunk) {
        if (pointer == 0 || done()) continue;
        if (below > kPerPage) {
          walk_nested(Gva{pointer}, kPerPage, below / kPerPage, depth + 1);
        } else if (!is_kernel_pointer(Gva{pointer})) {
          broken(Errc::malformed, pointer, "nested_table");
        } else {
          walk_buckets(Gva{pointer}, below);
        }
      }
    }
  }

  void walk_buckets(Gva at, std::uint64_t count) {
    std::array<std::uint64_t, kPerPage> heads;
    for (std::uint64_t from = 0; from < count && !done(); from += kPerPage) {
      const auto piece = std::min(count - from, kPerPage);
      const auto chunk = std::span(heads).first(static_cast<std::size_t>(piece));
      spend(piece);
      const Gva start = at + from * kPointer;
      if (auto read = memory_.read(start, std::as_writable_bytes(chunk)); !read) {
        walked_.broken = read.error();
        continue;
      }
      for (std::uint64_t i = 0; i < piece && !done(); ++i) {
        const auto head = chunk[static_cast<std::size_t>(i)] & ~std::uint64_t{1};
        if (head != 0) walk_bucket(start + i * kPointer, head);
      }
    }
  }

  void walk_bucket(Gva bucket, std::uint64_t head) {
    for (unsigned attempt = 1;; ++attempt) {
      const auto sound = collect(bucket, head);
      if (sound) break;
      if (attempt == kTries) {
        ++walked_.mismatches;
        if (error_) walked_.broken = error_;
        break;
      }
      const auto again = memory_.load<std::uint64_t>(bucket);
      if (!again) {
        walked_.broken = again.error();
        break;
      }
      head = *again & ~std::uint64_t{1};
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

  /// Fills chain_. @returns whether it ended in this bucket's mark.
  bool collect(Gva bucket, std::uint64_t head) {
    chain_.clear();
    error_.reset();
    LoopGuard guard;
    std::uint64_t at = head;
    while (at != 0 && (at & 1) == 0) {
      if (!is_kernel_pointer(Gva{at})) {
        error_ = Error{Errc::malformed, at, "rhash_head.next"};
        return false;
      }
      if (guard.closes(Gva{at})) {
        error_ = Error{Errc::cycle, at, "rhash_head.next"};
        return false;
      }
      if (walked_.visited + chain_.size() > limit_) return true;  // the caller says truncated
      const auto next = memory_.load<std::uint64_t>(Gva{at} + layout_.next);
      if (!next) {
        error_ = next.error();
        return false;
      }
      chain_.push_back(Gva{at});
      at = *next;
    }
    return at == 0 || at == (bucket.value | 1);
  }

  void spend(std::uint64_t buckets) {
    if (buckets > bucket_limit_) {
      walked_.truncated = true;
    } else {
      bucket_limit_ -= buckets;
    }
  }

  const VirtualMemory& memory_;
  const RhashtableLayout& layout_;
  std::size_t limit_;
  const std::function<bool(Gva)>& visit_;
  std::uint64_t bucket_limit_;
  std::vector<Gva> chain_;
  std::optional<Error> error_;
  Walked walked_;
};

}  // namespace

Walked walk_rhashtable(const VirtualMemory& memory, const RhashtableLayout& layout, Gva rhashtable,
                       std::size_t limit, const std::function<bool(Gva)>& visit) {
  return Walk(memory, layout, limit, visit).run(rhashtable);
}

}  // namespace vitrine::linux
