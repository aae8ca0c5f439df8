// Notebook: the guard's way to its evidence. What the disk does not take now is kept and tried
// again; what does not even fit here is counted, and the count is written first.
#pragma once

#include <chrono>
#include <deque>
#include <set>
#include <string>

#include "evidence/store.h"

namespace vitrine::fvm {

class Notebook {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kMostWaiting = 10'000;
  static constexpr std::size_t kMostWaitingBytes = 64 << 20;

  /// @param boot  the host's, which a guard cannot see
  Notebook(evidence::Store store, std::string guest, const std::array<std::byte, 16>& boot)
      : store_(std::move(store)), guest_(std::move(guest)), boot_(boot) {}

  /// Writes it, or keeps it for later.
  void write(evidence::Kind kind, std::string subject, std::string body, std::string key = {},
             std::uint8_t severity = 0);
  /// Tries again what waits.
  void tick(Time now);

  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  /// Why something waits; empty: nothing does.
  [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }
  [[nodiscard]] evidence::Store& store() noexcept { return store_; }

 private:
  bool append(const evidence::Entry& entry);

  evidence::Store store_;
  std::string guest_;
  std::array<std::byte, 16> boot_;
  std::deque<evidence::Entry> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::uint64_t lost_ = 0;
  std::string trouble_;
  Time again_{};
};

}  // namespace vitrine::fvm
