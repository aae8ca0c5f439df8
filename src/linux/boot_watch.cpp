#include "linux/boot_watch.h"

#include "linux/kernel.h"
#include "machine/machine.h"
#include "x86/paging.h"

namespace vitrine::linux {
namespace {

constexpr std::chrono::milliseconds kPeriod{1000}, kSecondLook{100};
constexpr std::chrono::seconds kAfterSilence{30};  // asking who is busy keeps us waiting
constexpr unsigned kEnough = 2;

}  // namespace

BootWatch::BootWatch(const Kernel& kernel) : kernel_(&kernel), due_(Clock::now() + kPeriod) {
  // Mapped for programs, too, under page table isolation; the rest of the text is not.
  const auto entry = kernel.symbols().find("entry_SYSCALL_64");
  const auto place =
      entry ? kernel.memory().translate(*entry) : Result<x86::Translation>(fail(Errc::not_found));
  asks_ = kernel.machine().live() && place.has_value();
  if (asks_) {
    entry_ = *entry;
    entry_physical_ = place->address;
    jiffies_ = kernel.symbols().find("jiffies").value_or(Gva{});
  }
}

bool BootWatch::same(Clock::time_point now) {
  if (gone_) return false;
  if (!kernel_->still_there()) {
    gone_ = kernel_->ram().load<std::uint8_t>(kernel_->identity().text_physical).has_value();
    return !gone_;
  }
  if (!asks_ || now < due_) return true;
  const auto told = elsewhere();
  if (!told) {
    doubts_ = 0;
    due_ = now + kAfterSilence;
    return true;
  }
  const bool doubt = *told;
  const auto ticks = doubt ? kernel_->memory().load<std::uint64_t>(jiffies_).value_or(0) : 0;
  doubts_ = !doubt ? 0 : doubts_ != 0 && ticks == ticks_ ? doubts_ + 1 : 1;
  ticks_ = ticks;
  due_ = now + (doubts_ != 0 ? kSecondLook : kPeriod);
  gone_ = doubts_ >= kEnough;
  return !gone_;
}

std::optional<bool> BootWatch::elsewhere() {
  const auto registers = kernel_->machine().registers();
  if (!registers || registers->empty()) {
    // No monitor at all; or one that is another client's for now.
    asks_ = !registers && registers.error().code != Errc::unsupported;
    return std::nullopt;
  }
  const auto& boot = registers->front();
  if (!boot.paging() || !boot.long_mode()) return true;
  const auto there =
      x86::translate(kernel_->ram(), x86::PageRoot::from(boot.cr3, boot.five_levels()), entry_);
  return !there || there->address != entry_physical_;
}

}  // namespace vitrine::linux
