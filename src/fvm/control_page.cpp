#include "fvm/control_page.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <thread>
#include <utility>

namespace vitrine::fvm {
namespace {

constexpr std::uint64_t kMagic = 0x32474150434d5646;  // "FVMCPAG2"

/// As it lies in memory. `sequence` is odd while the rest is being written.
struct Layout {
  std::uint64_t magic, sequence, generation, cpu_share, look_round, canary_round;
  CanaryToken canary;
  std::uint64_t segments;
  struct Segment {
    std::uint64_t start, size, backing, offset;
  } segment[kMostSegments];
};
constexpr std::size_t kAreaAt = 32 * 1024;
static_assert(sizeof(Layout) <= kAreaAt && kAreaAt + kCanaryArea <= kControlBytes);

std::atomic_ref<std::uint64_t> word(std::byte* page, std::size_t at) {
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(page + at));
}

}  // namespace

Result<ControlPage> ControlPage::create() {
  FileDescriptor file(::memfd_create("vitrine-control", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || ::ftruncate(file.get(), kControlBytes) != 0)
    return fail(Errc::io, 0, "control page");
  // Anybody's to open by its number below /proc as it was made: whoever was given it for reading
  // cannot have it for writing.
  if (::fchmod(file.get(), 0444) != 0) return fail(Errc::io, 0, "control page");
  // A shorter file would be a SIGBUS in whoever has it mapped.
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return fail(Errc::io, 0, "control page");
  return adopt(std::move(file));
}

Result<ControlPage> ControlPage::adopt(FileDescriptor file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || status.st_size != kControlBytes)
    return fail(Errc::malformed, 0, "control page size");
  void* bytes = ::mmap(nullptr, kControlBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (bytes == MAP_FAILED) return fail(Errc::io, 0, "control page");
  return ControlPage(std::move(file), static_cast<std::byte*>(bytes));
}

ControlPage::ControlPage(ControlPage&& other) noexcept
    : file_(std::move(other.file_)), bytes_(std::exchange(other.bytes_, nullptr)) {}
ControlPage::~ControlPage() {
  if (bytes_ != nullptr) ::munmap(bytes_, kControlBytes);
}

std::span<const std::byte> ControlPage::area() const noexcept {
  return {bytes_ + kAreaAt, kCanaryArea};
}

Result<void> ControlPage::write(const Orders& orders) {
  if (orders.segments.size() > kMostSegments)
    return fail(Errc::too_large, orders.segments.size(), "RAM segments");
  auto sequence = word(bytes_, offsetof(Layout, sequence));
  const auto before = sequence.load(std::memory_order_relaxed);
  sequence.store(before | 1, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  auto& page = *reinterpret_cast<Layout*>(bytes_);
  page.magic = kMagic;
  page.generation = orders.generation;
  page.cpu_share = orders.cpu_share;
  page.look_round = orders.look_round;
  page.canary_round = orders.canary_round;
  page.canary = orders.canary;
  page.segments = orders.segments.size();
  for (std::size_t i = 0; i < orders.segments.size(); ++i) {
    const auto& one = orders.segments[i];
    page.segment[i] = {one.range.start.value, one.range.size, one.backing, one.offset};
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  sequence.store((before | 1) + 1, std::memory_order_release);
  // Its lower half is what wait_for_orders() sleeps on.
  ::syscall(SYS_futex, bytes_ + offsetof(Layout, sequence), FUTEX_WAKE, INT_MAX, nullptr, nullptr,
            0);
  return {};
}

Result<void> ControlPage::write_with_canary(Orders& orders) {
  ++orders.canary_round;
  randombytes_buf(orders.canary.data(), orders.canary.size());
  auto sequence = word(bytes_, offsetof(Layout, sequence));
  sequence.store(sequence.load() | 1, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::byte* area = bytes_ + kAreaAt;
  randombytes_buf(area, kCanaryArea);
  const auto place =
      randombytes_uniform(kCanaryArea - static_cast<std::uint32_t>(orders.canary.size()));
  std::memcpy(area + place, orders.canary.data(), orders.canary.size());
  return write(orders);
}

std::uint64_t orders_sequence(const volatile std::byte* page) {
  return *reinterpret_cast<const volatile std::uint64_t*>(page + offsetof(Layout, sequence));
}

void wait_for_orders(const volatile std::byte* page, std::uint64_t seen,
                     std::chrono::nanoseconds time, std::chrono::nanoseconds look_again) {
  const timespec timeout{.tv_sec = static_cast<time_t>(time.count() / 1'000'000'000),
                         .tv_nsec = static_cast<long>(time.count() % 1'000'000'000)};
  if (::syscall(SYS_futex, page + offsetof(Layout, sequence), FUTEX_WAIT,
                static_cast<std::uint32_t>(seen), &timeout, nullptr, 0) == 0 ||
      errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR)
    return;
  std::this_thread::sleep_for(std::min(time, look_again));
}

std::optional<Orders> read_orders(const volatile std::byte* page,
                                  std::array<std::byte, kCanaryArea>& area) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    const auto before = orders_sequence(page);
    std::atomic_thread_fence(std::memory_order_acquire);
    if ((before & 1) != 0) continue;
    Layout copy;
    const auto* from = const_cast<const std::byte*>(page);
    std::memcpy(&copy, from, sizeof copy);
    std::memcpy(area.data(), from + kAreaAt, area.size());
    std::atomic_thread_fence(std::memory_order_acquire);
    if (orders_sequence(page) != before) continue;
    if (copy.magic != kMagic || copy.segments > kMostSegments) return std::nullopt;
    Orders orders{.generation = copy.generation,
                  .cpu_share = copy.cpu_share,
                  .look_round = copy.look_round,
                  .canary_round = copy.canary_round,
                  .canary = copy.canary};
    for (std::size_t i = 0; i < copy.segments; ++i) {
      const auto& one = copy.segment[i];
      orders.segments.push_back(
          {{Gpa{one.start}, one.size}, static_cast<std::uint32_t>(one.backing), one.offset});
    }
    return orders;
  }
  return std::nullopt;
}

}  // namespace vitrine::fvm
