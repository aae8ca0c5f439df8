#include "cli/event_sources.h"

#include "linux/kernel.h"
#include "probe/polling/polling_source.h"

namespace vitrine::cli {

std::vector<std::unique_ptr<probe::EventSource>> event_sources(const Session& session,
                                                               const Arguments& words) {
  std::vector<std::unique_ptr<probe::EventSource>> sources;
  if (!session.machine().live()) return sources;
  probe::PollingOptions polling;
  if (!words.has("--no-cache")) polling.attach.cache_directory = linux::default_cache_directory();
  sources.push_back(probe::polling_source(session.machine(), polling));
  return sources;
}

}  // namespace vitrine::cli
