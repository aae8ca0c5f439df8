// Aggregation: what count(), sum(), histogram() ... keep for one key of a map, as words.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "probe/map_store.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// The words of a value: how many there were, their sum, the least, the greatest, then a
/// distribution's buckets. A map without an aggregation keeps two words of its own.
class Aggregation {
 public:
  static constexpr std::size_t kStatWords = 4;  ///< count, sum, least, greatest

  explicit Aggregation(const vmipl::MapInfo& info)
      : aggregate_(info.aggregate),
        signed_(is_signed(info.value)),
        low_(info.low),
        high_(info.high),
        step_(info.step) {
    if (aggregate_ == vmipl::Aggregate::histogram) buckets_ = kHistogramBuckets;
    if (aggregate_ == vmipl::Aggregate::linear) {
      const auto range = static_cast<std::uint64_t>(high_) - static_cast<std::uint64_t>(low_);
      const auto step = static_cast<std::uint64_t>(step_);
      buckets_ = (range + step - 1) / step + 2;
    }
  }

  [[nodiscard]] bool none() const noexcept { return aggregate_ == vmipl::Aggregate::none; }
  [[nodiscard]] std::size_t buckets() const noexcept { return buckets_; }
  [[nodiscard]] std::size_t words() const noexcept { return (none() ? 2 : kStatWords) + buckets_; }

  /// One more `number`; `value` has words() words.
  void update(std::uint64_t* value, std::uint64_t number) const noexcept {
    const bool first = value[0]++ == 0;
    value[1] += number;
    if (aggregate_ != vmipl::Aggregate::none) {
      const auto less = [&](std::uint64_t a, std::uint64_t b) {
        return signed_ ? static_cast<std::int64_t>(a) < static_cast<std::int64_t>(b) : a < b;
      };
      if (first || less(number, value[2])) value[2] = number;
      if (first || less(value[3], number)) value[3] = number;
    }
    if (aggregate_ == vmipl::Aggregate::histogram) {
      ++value[kStatWords + bucket_of(number, signed_)];
    } else if (aggregate_ == vmipl::Aggregate::linear) {
      const auto low = static_cast<std::uint64_t>(low_);
      std::uint64_t index = 0;
      const bool below =
          signed_ ? static_cast<std::int64_t>(number) < low_ : (low_ > 0 && number < low);
      const bool above = signed_ ? static_cast<std::int64_t>(number) >= high_
                                 : (high_ <= 0 || number >= static_cast<std::uint64_t>(high_));
      if (below)
        index = 0;
      else if (above)
        index = buckets_ - 1;
      else
        index = 1 + (number - low) / static_cast<std::uint64_t>(step_);
      ++value[kStatWords + index];
    }
  }
  /// What reading the value gives: of avg() of nothing, of distributions, nothing.
  [[nodiscard]] std::optional<std::uint64_t> number(const std::uint64_t* value) const noexcept {
    switch (aggregate_) {
      case vmipl::Aggregate::none:
      case vmipl::Aggregate::count:
        return value[0];
      case vmipl::Aggregate::sum:
        return value[1];
      case vmipl::Aggregate::min:
        return value[2];
      case vmipl::Aggregate::max:
        return value[3];
      case vmipl::Aggregate::avg:
        if (value[0] == 0) return std::nullopt;
        return signed_ ? static_cast<std::uint64_t>(static_cast<std::int64_t>(value[1]) /
                                                    static_cast<std::int64_t>(value[0]))
                       : value[1] / value[0];
      default:
        return std::nullopt;
    }
  }

 private:
  [[nodiscard]] static bool is_signed(vmipl::ValueType type) {
    using enum vmipl::ValueType;
    return type == integer || type == duration || type == time;
  }
  [[nodiscard]] static std::uint64_t bucket_of(std::uint64_t value, bool with_sign) {
    if (with_sign && static_cast<std::int64_t>(value) < 0) return 0;
    return value == 0 ? 1 : 1 + static_cast<std::uint64_t>(std::bit_width(value));
  }

  vmipl::Aggregate aggregate_;
  bool signed_;
  std::int64_t low_, high_, step_;  // of linear
  std::size_t buckets_ = 0;
};

}  // namespace vitrine::probe
