#include "machine/process_start.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "machine/process_maps.h"

namespace vitrine {
namespace {

/// /proc/PID/stat behind the name: " S 1 ..."; empty if it cannot be read.
std::string stat_behind_name(pid_t pid) {
  const auto stat = read_proc_file(fmt::format("/proc/{}/stat", pid), 4096);
  const auto at = stat ? stat->rfind(')') : std::string::npos;
  return at == std::string::npos ? std::string() : stat->substr(at + 1);
}

}  // namespace

std::uint64_t start_time_of(pid_t pid) {
  const auto stat = stat_behind_name(pid);
  if (stat.starts_with(" Z") || stat.starts_with(" X")) return 0;
  std::size_t at = 0;
  for (int field = 3; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (stat.empty() || at == std::string::npos) return 0;
  std::uint64_t value = 0;
  std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), value);
  return value;
}

bool is_stopped(pid_t pid) {
  const auto stat = stat_behind_name(pid);
  return stat.starts_with(" T") || stat.starts_with(" t");
}

}  // namespace vitrine
