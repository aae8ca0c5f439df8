#include "probe/source_settings.h"

#include "vmipl/catalogue.h"

namespace vitrine::probe {

SourceSettings settings_of(const vmipl::Program& program) {
  SourceSettings settings;
  for (const auto& setting : program.settings) {
    const auto name = vmipl::configuration_keys()[setting.key].name;
    if (name == "PollPeriod")
      settings.poll_period = std::chrono::nanoseconds(static_cast<std::int64_t>(setting.value));
    if (name == "RateLimit") settings.rate_limit = setting.value;
  }
  return settings;
}

SourceSettings settings_of(const SourceSettings& first, const vmipl::Program& program) {
  auto settings = settings_of(program);
  if (first.poll_period) settings.poll_period = first.poll_period;
  if (first.rate_limit) settings.rate_limit = first.rate_limit;
  return settings;
}

}  // namespace vitrine::probe
