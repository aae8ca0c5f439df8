// Notebook: the guard's way to its evidence. What the disk does not take now is kept and tried
// again; what does not even fit here is counted, and the count is written first.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "evidence/store.h"

namespace vitrine::fvm {

class Notebook {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kMostWaiting = 10'000;
  static constexpr std::size_t kMostWaitingBytes = 64 << 20;
  static constexpr std::size_t kMostAtOnce = 256;  ///< in one transaction

  /// @param boot  the host's, which a guard cannot see
  Notebook(evidence::Store store, std::string guest, const std::array<std::byte, 16>& boot)
      : store_(std::move(store)), guest_(std::move(guest)), boot_(boot) {}

  /// Keeps it until the next tick(), or until there is room for it. Nothing waits for a disk here:
  /// who floods a guard with findings must not keep it from its FVM.
  void write(evidence::Kind kind, std::string subject, std::string body, std::string key = {},
             std::uint8_t severity = 0);
  /// Writes what there is, once a turn: one fsync, however much it is.
  void tick(Time now);
  /// Likewise, now: before something that cannot be undone. @returns false  the disk does not take
  /// it
  bool flush();

  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  /// Why something waits; empty: nothing does.
  [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }
  [[nodiscard]] evidence::Store& store() noexcept { return store_; }

 private:
  evidence::Store store_;
  std::string guest_;
  std::array<std::byte, 16> boot_;
  std::vector<evidence::Entry> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::uint64_t lost_ = 0;
  std::string trouble_;
  Time again_{};
};

}  // namespace vitrine::fvm
