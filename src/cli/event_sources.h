// The event sources that a machine offers, best first: what `run` starts and `check` plans with.
#pragma once

#include <memory>
#include <vector>

#include "cli/command.h"
#include "cli/session.h"
#include "probe/agent/agent_source.h"
#include "probe/event_source.h"
#include "probe/source_settings.h"

namespace vitrine::cli {

struct EventSources {
  std::vector<std::unique_ptr<probe::EventSource>> all;  ///< best first
  probe::AgentSource* agent = nullptr;                   ///< that of them, if there is one

  [[nodiscard]] std::vector<probe::EventSource*> ladder() const;
  /// Destroys what needs the kernel that it was made for.
  void leave_kernel();
};

/// Of an attached machine; none for an image. They have no effect until they are started. What
/// keeps one from being had, other than that it is not there, is remarked.
/// `session` must outlive them.
/// @param kept  of an earlier kernel: those that outlive it are taken over
[[nodiscard]] EventSources event_sources(Context& context, const Session& session,
                                         const Arguments& words,
                                         const probe::SourceSettings& settings,
                                         EventSources kept = {});

/// For the list of a command that plans or runs: --poll, --poll-period, --rate-limit.
[[nodiscard]] std::vector<Option> source_options();
/// What they say. @returns invalid  no duration, no number
[[nodiscard]] Outcome<probe::SourceSettings> source_settings(const Arguments& words);

}  // namespace vitrine::cli
