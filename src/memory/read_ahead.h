// ReadAhead: memory that fetches, in a few batches, what the last look had to read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "memory/passing_memory.h"

namespace vitrine {

/// What one kind of look read the last times, by lines of 64 bytes. Owned by whoever
/// looks again and again: the first look fills it, the next ones profit.
class ReadPlan {
 public:
  ReadPlan() = default;

  /// Pages of which something is planned.
  [[nodiscard]] std::size_t pages() const noexcept { return pages_.size(); }
  void clear();

 private:
  friend class ReadAhead;
  static constexpr std::size_t kStages = 3;  // of ReadAhead::Stage, without anew

  /// A stretch of a page's lines as fetched: [first, end), from `place` in the copy on.
  struct Piece {
    std::uint32_t place = 0;
    std::uint8_t first = 0, end = 0;
    bool there = false;  ///< fetched in this look
  };
  struct Page {
    std::uint64_t number = 0;                     ///< physical address / 4096
    std::array<std::uint64_t, kStages> wanted{};  ///< lines, a bit each
    std::array<std::uint64_t, kStages>
        used{};  ///< of them, or beside them, since the plan was made
    std::array<Piece, kStages> pieces{};
  };

  [[nodiscard]] Page* find(std::uint64_t number) noexcept;
  /// Makes pieces of what is wanted and lays them out in the copy.
  void lay_out();

  std::vector<Page> pages_;           // sorted by number
  std::vector<std::uint32_t> slots_;  // open addressing: 1 + an index into pages_; a power of two
  std::vector<Page> missed_;          // what was read and not planned; unsorted, may repeat
  std::unique_ptr<std::byte[]> copy_;
  std::size_t copy_size_ = 0, copy_room_ = 0;
  unsigned looks_ = 0;  // since unused lines were last dropped
};

/// Memory for looks that repeat, where each read costs a system call. Outside a look it
/// only passes on; so it does where the memory is mapped (window()), which is cheaper
/// than any copy.
///
/// In a look, all that the plan has is fetched when it begins, in this order: anchors,
/// then objects, then the anchors that were read again. So a second reading is always
/// later than all that it vouches for. What the plan has not is read when asked for; as
/// that is later than the planned second readings, those are fetched once more when they
/// are asked for (a few times; then each is made on its own).
///
/// Within a stage, what was fetched at once is not in the order of the pointers that lead
/// there: the whole is of one moment, as long as the fetch took (under 1 ms for 2,000 pages).
///
/// Threads: one at a time, unlike other memories: looks have a state.
class ReadAhead final : public PassingMemory {
 public:
  enum class Stage : std::uint8_t {
    anchors,  ///< what a second reading will be compared to: read before all else
    objects,  ///< what hangs on it
    again,    ///< the second reading
    anew,     ///< another try: nothing that was fetched before may serve
  };

  /// A plan never holds more than this, in bytes; what is beyond is read when asked for.
  static constexpr std::size_t kMaxCopy = 4 * 1024 * 1024;

  /// @param inner  must outlive this.
  explicit ReadAhead(const PhysicalMemory& inner) : PassingMemory(inner) {}

  /// A look, from its making to its end. One within another is part of that one.
  class Look {
   public:
    Look(const ReadAhead& memory, ReadPlan& plan);
    ~Look();
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;

   private:
    const ReadAhead& memory_;
    bool mine_;
  };

  /// What is read while this lives belongs to that stage; then to the one before.
  /// A look begins with `objects`.
  class In {
   public:
    In(const ReadAhead& memory, Stage stage) : memory_(memory), before_(memory.stage_) {
      memory_.stage_ = stage;
    }
    ~In() { memory_.stage_ = before_; }
    In(const In&) = delete;
    In& operator=(const In&) = delete;

   private:
    const ReadAhead& memory_;
    Stage before_;
  };

  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;

 private:
  void begin(ReadPlan& plan) const;
  void fetch(std::size_t stage) const;
  void end() const noexcept;
  [[nodiscard]] Result<void> read_in_page(Gpa from, MutableBytes into) const;

  mutable ReadPlan* plan_ = nullptr;  // of the look that is on
  mutable Stage stage_ = Stage::objects;
  mutable bool missed_ = false;  // something was read since the second readings were fetched
  mutable unsigned renewals_ = 0;
};

}  // namespace vitrine
