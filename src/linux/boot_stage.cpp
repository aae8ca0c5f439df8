#include "linux/boot_stage.h"

#include <algorithm>

#include "linux/find_kernel.h"
#include "linux/kernel.h"

namespace vitrine::linux {

bool is_up(const Kernel& kernel) {
  // SYSTEM_SCHEDULING comes after alternative_instructions(). Source: Linux 4.13 to 7.x,
  // include/linux/kernel.h (enum system_states), init/main.c.
  constexpr std::uint32_t kScheduling = 1;
  const auto state = kernel.symbols().find("system_state");
  if (state && kernel.memory().load<std::uint32_t>(*state).value_or(0) < kScheduling) return false;
  const auto cpus = kernel.machine().registers();
  if (!cpus) return true;
  return std::ranges::any_of(text_hints(kernel.machine().memory(), *cpus),
                             [&](const TextHint& hint) {
                               const auto place = kernel.memory().translate(hint.handler);
                               return place && place->address == hint.physical;
                             });
}

}  // namespace vitrine::linux
