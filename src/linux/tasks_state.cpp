#include "linux/tasks_state.h"

#include <fmt/core.h>

#include <bit>

namespace vitrine::linux {

char state_letter(std::uint64_t state, std::uint32_t exit_state) noexcept {
  constexpr std::uint64_t kUninterruptible = 0x0002;
  constexpr std::uint64_t kReport = 0x007f;  // up to TASK_PARKED
  constexpr std::uint64_t kIdle = 0x0402;    // TASK_UNINTERRUPTIBLE | TASK_NOLOAD
  constexpr std::uint64_t kRtLockWait = 0x1000;
  constexpr std::uint64_t kFrozen = 0x8000;
  constexpr char kLetters[] = "RSDTtXZPI";
  std::uint64_t reported = (state | exit_state) & kReport;
  if ((state & kIdle) == kIdle) reported = kReport + 1;
  if ((state & (kRtLockWait | kFrozen)) != 0) reported = kUninterruptible;
  return kLetters[std::bit_width(reported)];
}

std::optional<std::string_view> policy_name(std::uint32_t policy) noexcept {
  switch (policy) {
    case 0:
      return "other";
    case 1:
      return "fifo";
    case 2:
      return "rr";
    case 3:
      return "batch";
    case 5:
      return "idle";
    case 6:
      return "deadline";
    case 7:
      return "ext";
    default:
      return std::nullopt;
  }
}

std::string cpu_list(const std::uint64_t* words, std::size_t word_count, unsigned limit) {
  const auto is_set = [&](unsigned bit) {
    return bit < limit && bit / 64 < word_count && (words[bit / 64] >> bit % 64 & 1) != 0;
  };
  std::string text;
  for (unsigned bit = 0; bit < limit; ++bit) {
    if (!is_set(bit)) continue;
    unsigned last = bit;
    while (is_set(last + 1)) ++last;
    if (!text.empty()) text += ',';
    text += last == bit ? fmt::format("{}", bit) : fmt::format("{}-{}", bit, last);
    bit = last;
  }
  return text;
}

}  // namespace vitrine::linux
