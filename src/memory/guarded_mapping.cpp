#include "memory/guarded_mapping.h"

#include <linux/magic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

namespace vitrine {
namespace {

struct Slot {
  std::atomic<std::uintptr_t> start{0};
  std::atomic<std::uintptr_t> size{0};  // 0: free
  std::atomic<std::uintptr_t> page{0};
  std::atomic<bool> lost{false};
};

// Reached from the signal handler: lock-free, and never freed.
constinit std::array<Slot, 1024> slots{};
constinit std::atomic<int> slots_used{0};
constinit std::mutex slots_mutex;
constinit struct sigaction previous_action{};

Slot& slot_at(int index) { return slots[static_cast<std::size_t>(index)]; }

void on_sigbus(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const int used = slots_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; ++i) {
    Slot& slot = slot_at(i);
    const auto size = slot.size.load(std::memory_order_acquire);
    const auto start = slot.start.load(std::memory_order_relaxed);
    if (size == 0 || at - start >= size) continue;
    slot.lost.store(true, std::memory_order_release);  // before the zeros can be seen
    const auto page = slot.page.load(std::memory_order_relaxed);
    void* const zeros = ::mmap(reinterpret_cast<void*>(at & ~(page - 1)), page, PROT_READ,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    errno = saved_errno;
    if (zeros != MAP_FAILED) return;
    break;
  }
  // Not ours. Hand it on; with the default action, returning faults again and ends us.
  if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != nullptr) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
  } else {
    ::signal(SIGBUS, SIG_DFL);
  }
  errno = saved_errno;
}

// Called with slots_mutex held.
bool install_handler() {
  struct sigaction current{};
  if (::sigaction(SIGBUS, nullptr, &current) != 0) return false;
  if ((current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == &on_sigbus) return true;
  struct sigaction ours{};
  ours.sa_sigaction = &on_sigbus;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&ours.sa_mask);
  previous_action = current;
  return ::sigaction(SIGBUS, &ours, nullptr) == 0;
}

int claim_slot(std::uintptr_t start, std::uintptr_t size, std::uintptr_t page) {
  const std::scoped_lock lock(slots_mutex);
  if (!install_handler()) return -1;
  const int used = slots_used.load(std::memory_order_relaxed);
  int index = 0;
  while (index < used && slot_at(index).size.load(std::memory_order_relaxed) != 0) ++index;
  if (index == static_cast<int>(slots.size())) return -1;
  Slot& slot = slot_at(index);
  slot.start.store(start, std::memory_order_relaxed);
  slot.page.store(page, std::memory_order_relaxed);
  slot.lost.store(false, std::memory_order_relaxed);
  slot.size.store(size, std::memory_order_release);
  if (index == used) slots_used.store(used + 1, std::memory_order_release);
  return index;
}

// A piece of a huge-page mapping can only be replaced whole.
std::uint64_t page_bytes(int file) {
  struct statfs system{};
  if (::fstatfs(file, &system) == 0 && system.f_type == HUGETLBFS_MAGIC) {
    return static_cast<std::uint64_t>(system.f_bsize);
  }
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Result<GuardedMapping> GuardedMapping::map(int file, std::uint64_t size) {
  struct stat status{};
  if (::fstat(file, &status) != 0) return fail(Errc::io, 0, "fstat");
  if (static_cast<std::uint64_t>(status.st_size) < size) {
    return fail(Errc::out_of_bounds, static_cast<std::uint64_t>(status.st_size),
                "file is shorter than its map");
  }
  GuardedMapping mapping;
  if (size == 0) return mapping;
  const auto page = page_bytes(file);
  const auto rounded = (size + page - 1) & ~(page - 1);
  void* const start = ::mmap(nullptr, rounded, PROT_READ, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (start == MAP_FAILED) {
    return fail(errno == EACCES || errno == EPERM ? Errc::denied : Errc::io, 0, "mmap");
  }
  mapping.bytes_ = Bytes(static_cast<const std::byte*>(start), size);
  mapping.mapped_bytes_ = rounded;
  mapping.slot_ = claim_slot(reinterpret_cast<std::uintptr_t>(start), rounded, page);
  if (mapping.slot_ < 0) return fail(Errc::too_large, 0, "too many mappings");
  return mapping;
}

GuardedMapping::GuardedMapping(GuardedMapping&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)),
      slot_(std::exchange(other.slot_, -1)) {}

GuardedMapping& GuardedMapping::operator=(GuardedMapping&& other) noexcept {
  if (this != &other) {
    release();
    bytes_ = std::exchange(other.bytes_, {});
    mapped_bytes_ = std::exchange(other.mapped_bytes_, 0);
    slot_ = std::exchange(other.slot_, -1);
  }
  return *this;
}

GuardedMapping::~GuardedMapping() { release(); }

void GuardedMapping::release() noexcept {
  // First the slot: once unmapped, the addresses may be another's.
  if (slot_ >= 0) slot_at(slot_).size.store(0, std::memory_order_release);
  if (mapped_bytes_ != 0) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), mapped_bytes_);
  }
  bytes_ = {};
  mapped_bytes_ = 0;
  slot_ = -1;
}

bool GuardedMapping::lost() const noexcept {
  if (slot_ < 0) return false;
  // Keeps the copy that came before from sinking below the question.
  std::atomic_thread_fence(std::memory_order_acquire);
  return slot_at(slot_).lost.load(std::memory_order_relaxed);
}

}  // namespace vitrine
