#include "linux/tasks_row.h"

#include <fmt/core.h>

namespace vitrine::linux {

std::string device_text(std::uint32_t device) {
  return fmt::format("{}:{}", device >> 20, device & 0xfffff);
}

}  // namespace vitrine::linux
