// The agent as a whole: what qemu_plugin_install() does.
#pragma once

#include <string>

#include "probe/agent/plugin_abi.h"

namespace vitrine::probe {

/// Where a user's agents have their sockets, if the plugin's argument says nothing else:
/// $XDG_RUNTIME_DIR/vitrine, or /run/user/UID/vitrine where there is such a directory, or
/// /tmp/vitrine-UID.
[[nodiscard]] std::string agent_directory(unsigned uid);

/// Loads the agent idle. Words: dir=DIRECTORY.
/// @returns 0, or not 0 with the reason on stderr: QEMU then ends
[[nodiscard]] int install_agent(PluginId id, const PluginInfo& info, int argc, char** argv);

/// As the plugin is mapped: a word on stderr in a QEMU before 9.1, which will not load it.
void tell_if_too_old();

}  // namespace vitrine::probe
