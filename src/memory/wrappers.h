// Memory around memory: counting what is read, what fails, and failing on purpose.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory/physical_memory.h"

namespace vitrine {

/// Passes everything on and counts it: what a view costs, without guessing.
class CountedMemory final : public PhysicalMemory {
 public:
  /// @param inner  must outlive this.
  explicit CountedMemory(const PhysicalMemory& inner) : inner_(inner) {}

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return inner_.ram(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override;
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override {
    return inner_.next_populated(from);
  }

  [[nodiscard]] std::uint64_t reads() const noexcept { return reads_; }  ///< a batch counts each
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t trips() const noexcept { return trips_; }  ///< a batch counts once
  [[nodiscard]] std::uint64_t windows() const noexcept { return windows_; }

 private:
  const PhysicalMemory& inner_;
  mutable std::atomic<std::uint64_t> reads_{0}, bytes_{0}, trips_{0}, windows_{0};
};

/// Passes everything on and counts the reads of RAM that the host refused (io, denied, vanished).
/// A read outside the RAM is the guest's own doing and does not count.
class WitnessedMemory final : public PhysicalMemory {
 public:
  /// @param inner  must outlive this.
  explicit WitnessedMemory(const PhysicalMemory& inner) : inner_(inner) {}

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return inner_.ram(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override {
    return inner_.window(from, size);
  }
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override {
    return inner_.next_populated(from);
  }

  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }  ///< since it was made
  [[nodiscard]] Gpa last_refused() const noexcept { return {last_}; }

 private:
  Result<void> witnessed(Gpa from, Result<void> done) const noexcept;

  const PhysicalMemory& inner_;
  mutable std::atomic<std::uint64_t> refused_{0}, last_{0};
};

/// Fails one read, the `fail_at`th (from 0), or from there on all; shows no windows, so
/// that every byte passes by. For fault sweeps: fail at the first read, the second, the
/// third ... until the work succeeds; then failed() is false.
class FailingMemory final : public PhysicalMemory {
 public:
  /// @param inner  must outlive this.
  FailingMemory(const PhysicalMemory& inner, std::uint64_t fail_at, bool from_there_on = false,
                Errc code = Errc::io)
      : inner_(inner), fail_at_(fail_at), from_there_on_(from_there_on), code_(code) {}

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return inner_.ram(); }
  /// Batches come here one by one.
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override {
    return inner_.next_populated(from);
  }

  /// Whether a read was made to fail.
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  const PhysicalMemory& inner_;
  std::uint64_t fail_at_;
  bool from_there_on_;
  Errc code_;
  mutable std::atomic<std::uint64_t> reads_{0};
  mutable std::atomic<bool> failed_{false};
};

}  // namespace vitrine
