// The control page: what an FVM is told, in memory that it can only read.
//
// 64 KiB, a memfd on the host: mapped read-only by a process, a read-only ivshmem BAR in a
// microVM. The guard writes it: where the guest's RAM lies, which assignment this is, and
// a challenge that changes all the time. There is no other way into an FVM.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "memory/file_descriptor.h"
#include "memory/memory_map.h"

namespace vitrine::fvm {

inline constexpr std::size_t kControlBytes = 64 * 1024;
inline constexpr std::size_t kMostSegments = 512;
inline constexpr std::size_t kCanaryArea = 16 * 1024;
using CanaryToken = std::array<std::byte, 16>;

/// What the page says, but for the canary's area.
struct Orders {
  std::uint64_t generation = 0;      ///< assignment; 0: none, wait
  std::uint64_t cpu_share = 10;      ///< thousandths of a core that passes may take in the long run
  std::vector<MapSegment> segments;  ///< of the guest's RAM; backing: the number of the file or BAR
  std::uint64_t look_round = 0;      ///< moves: something happened in the guest, look now
  std::uint64_t canary_round = 0;
  CanaryToken canary{};  ///< to be found in the area

  bool operator==(const Orders&) const = default;
};

class ControlPage {
 public:
  /// A new page: a sealed memfd, writable here.
  [[nodiscard]] static Result<ControlPage> create();
  /// The page in `file`, writable. @returns malformed  it has not the size.
  [[nodiscard]] static Result<ControlPage> adopt(FileDescriptor file);

  ControlPage(ControlPage&& other) noexcept;
  ControlPage& operator=(ControlPage&&) = delete;
  ControlPage(const ControlPage&) = delete;
  ~ControlPage();

  /// Segments beyond kMostSegments are refused: too_large.
  [[nodiscard]] Result<void> write(const Orders& orders);
  /// The same with a fresh area of random bytes that holds `orders.canary` somewhere.
  [[nodiscard]] Result<void> write_with_canary(Orders& orders);

  [[nodiscard]] int file() const noexcept { return file_.get(); }
  [[nodiscard]] std::span<const std::byte> area() const noexcept;

 private:
  ControlPage(FileDescriptor file, std::byte* bytes) : file_(std::move(file)), bytes_(bytes) {}
  FileDescriptor file_;
  std::byte* bytes_ = nullptr;
};

/// The FVM's side: a copy that was not torn.
/// @param page  kControlBytes, mapped; may change while it is read.
/// @param area  filled with the canary's area.
/// @returns nothing  not (yet) a page of ours, or it changed all the time.
[[nodiscard]] std::optional<Orders> read_orders(const volatile std::byte* page,
                                                std::array<std::byte, kCanaryArea>& area);

/// Whether a look is worth it: moves with every write.
[[nodiscard]] std::uint64_t orders_sequence(const volatile std::byte* page);

/// Sleeps until the sequence is no longer `seen`, or `time` is over. A page that shows another
/// machine's memory wakes nobody: there it is looked at again after `look_again`.
void wait_for_orders(const volatile std::byte* page, std::uint64_t seen,
                     std::chrono::nanoseconds time, std::chrono::nanoseconds look_again);

}  // namespace vitrine::fvm
