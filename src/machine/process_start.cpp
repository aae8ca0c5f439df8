#include "machine/process_start.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "machine/process_maps.h"

namespace vitrine {

std::uint64_t start_time_of(pid_t pid) {
  const auto stat = read_proc_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat) return 0;
  auto at = stat->rfind(')');
  if (at == std::string::npos) return 0;
  const auto state = std::string_view(*stat).substr(at, 3);
  if (state == ") Z" || state == ") X") return 0;
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat->find(' ', at + 1);
  if (at == std::string::npos) return 0;
  std::uint64_t value = 0;
  std::from_chars(stat->data() + at + 1, stat->data() + stat->size(), value);
  return value;
}

}  // namespace vitrine
