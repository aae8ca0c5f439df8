#include "linux/timekeeper.h"

#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {

Outcome<TimekeeperPlace> find_timekeeper(const Kernel& kernel) {
  const auto& types = kernel.types();
  auto core = kernel.symbols().find("timekeeper_data");
  if (!core) core = TRY(kernel.symbol("tk_core"));
  std::uint64_t offset = 0;
  if (types.find("tk_data")) {
    const auto inside = TRY(Embedded::from(types, "tk_data.timekeeper"));
    offset = inside.offset().value_or(0);
  } else {
    offset = (TRY(types.size_of("seqcount_raw_spinlock_t")) + 7) / 8 * 8;
  }
  return TimekeeperPlace{*core, *core + offset};
}

}  // namespace vitrine::linux
