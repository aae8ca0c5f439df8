#include "linux/start_state.h"

#include <cstdint>

#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {
namespace {

constexpr std::uint32_t kRunning = 3;  // SYSTEM_RUNNING, since 4.13 (commit 69a78ff226fe)

}  // namespace

bool is_starting(const Kernel& kernel) {
  const auto state = kernel.symbols().find("system_state"),
             space = kernel.symbols().find("init_pid_ns");
  const Offsets of(kernel.types());
  const auto reaper = of.find("pid_namespace.child_reaper"), mm = of.find("task_struct.mm");
  if (!state || !space || !reaper || !mm) return false;
  const auto now = kernel.memory().load<std::uint32_t>(*state);
  if (!now || *now >= kRunning) return false;
  const auto first = kernel.memory().load<Gva>(*space + *reaper);
  if (!first) return false;
  if (!*first) return true;
  const auto memory = kernel.memory().load<std::uint64_t>(*first + *mm);
  return memory && *memory == 0;
}

}  // namespace vitrine::linux
