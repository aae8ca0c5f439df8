// The event sources that a machine offers, best first: what `run` starts and `check` plans with.
#pragma once

#include <memory>
#include <vector>

#include "cli/command.h"
#include "cli/session.h"
#include "probe/event_source.h"

namespace vitrine::cli {

/// Of an attached machine; none for an image. They have no effect until they are started.
/// `session` must outlive them.
[[nodiscard]] std::vector<std::unique_ptr<probe::EventSource>> event_sources(
    const Session& session, const Arguments& words);

}  // namespace vitrine::cli
