#include "probe/host_stack.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "linux/current_tasks.h"
#include "linux/stack/unwind.h"
#include "linux/stack/user_stack.h"

namespace vitrine::probe {
namespace {

using Clock = std::chrono::steady_clock;

/// What is opened at the first need, as most scripts need none of it.
class HostStack {
 public:
  HostStack(const linux::Kernel& kernel, std::shared_ptr<UserFrames> names)
      : kernel_(kernel), current_(kernel), names_(std::move(names)) {}

  std::optional<std::size_t> read(bool user, const HeldFiring& firing, std::span<char> into) {
    const auto* registers = firing.registers();
    if (registers == nullptr || !firing.cpu) return std::nullopt;
    const std::lock_guard lock(mutex_);
    open();
    const auto task = current_.on(*firing.cpu);
    if (!unwinder_ || !task) return std::nullopt;
    const auto stack = unwinder_->of_cpu(*registers, *firing.cpu, *task);
    std::vector<std::uint64_t> addresses;
    if (!user) {
      for (const auto& frame : stack.frames) addresses.push_back(frame.address.value);
      return put(addresses, into);
    }
    auto from = stack.user;
    if (!from) from = unwinder_->saved_user_state(*task);
    if (!users_ || !from) return std::nullopt;
    const auto frames = users_->read(*task, *from);
    if (!frames) return std::nullopt;
    for (const auto& frame : frames->frames) addresses.push_back(names_->frame(frame));
    return put(addresses, into);
  }

 private:
  /// Modules and mappings change; for a second they are taken as they were.
  static constexpr std::chrono::seconds kKept{1};

  void open() {
    const auto now = Clock::now();
    if (!tried_) {
      tried_ = true;
      if (auto unwinder = linux::Unwinder::open(kernel_)) unwinder_ = std::move(*unwinder);
      if (auto users = linux::UserStacks::open(kernel_)) users_ = std::move(*users);
    } else if (now - since_ < kKept) {
      return;
    } else {
      if (unwinder_) unwinder_->forget();
      if (users_) users_->forget();
    }
    since_ = now;
  }

  static std::size_t put(const std::vector<std::uint64_t>& addresses, std::span<char> into) {
    const auto count = std::min(addresses.size(), into.size() / sizeof(std::uint64_t));
    if (count != 0) std::memcpy(into.data(), addresses.data(), count * sizeof(std::uint64_t));
    return count * sizeof(std::uint64_t);
  }

  const linux::Kernel& kernel_;
  linux::CurrentTasks current_;
  std::shared_ptr<UserFrames> names_;
  std::mutex mutex_;
  bool tried_ = false;
  Clock::time_point since_;
  std::optional<linux::Unwinder> unwinder_;
  std::optional<linux::UserStacks> users_;
};

}  // namespace

std::function<std::optional<std::size_t>(bool, const HeldFiring&, std::span<char>)> host_stack(
    const linux::Kernel& kernel, std::shared_ptr<UserFrames> names) {
  return [stack = std::make_shared<HostStack>(kernel, std::move(names))](
             bool user, const HeldFiring& firing, std::span<char> into) {
    return stack->read(user, firing, into);
  };
}

}  // namespace vitrine::probe
