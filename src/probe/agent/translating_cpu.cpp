#include "probe/agent/translating_cpu.h"

#include <string_view>

#include "probe/agent/vcpu_registers.h"

namespace vitrine::probe {
namespace {

constexpr std::uint64_t kRing = 3, kAccessFlag = 1U << 18, kSmap = 1U << 21;  // Intel SDM vol. 3A

}  // namespace

TranslatingCpu::~TranslatingCpu() {
  if (bytes_ != nullptr) (void)api_.bytes_free(bytes_, 1);
}

std::optional<std::uint64_t> TranslatingCpu::ask(Which which) noexcept {
  if (handles_[which] == nullptr) return std::nullopt;
  return read_register(api_, handles_[which], bytes_);
}

std::optional<CodeMode> TranslatingCpu::mode() noexcept {
  const std::lock_guard lock(mutex_);
  if (bytes_ == nullptr) {
    bytes_ = api_.bytes_new();
    constexpr std::array<std::string_view, count_> kNames = {"cs", "eflags", "cr4"};
    find_register_handles(api_, kNames, handles_);
  }
  const auto code = ask(cs), told = ask(flags), control = ask(cr4);
  if (!code || !told || !control) return std::nullopt;
  return CodeMode{
      .narrow = *code == kNarrowCode,
      .kept_out = (*code & kRing) == 0 && (*control & kSmap) != 0 && (*told & kAccessFlag) == 0};
}

}  // namespace vitrine::probe
