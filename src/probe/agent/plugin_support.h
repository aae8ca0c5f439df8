// Whether a QEMU can load the agent, by its program alone: before it is started, or while it runs
// without the agent.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vitrine::probe {

/// Functions that QEMU's plugin interface has from its beginning, and since 9.1, which the agent
/// needs.
inline constexpr const char *kOfAnyPlugins = "qemu_plugin_register_vcpu_tb_trans_cb",
                            *kSince91 = "qemu_plugin_read_register";

/// Why the QEMU whose program is the file `program` can load no agent: "it is built without
/// plugins". Plugins find QEMU's functions in its dynamic symbols, so what is not there it has not.
/// Nothing: it can, or its symbols cannot be read. Cost: about 2 ms.
[[nodiscard]] std::optional<std::string_view> cannot_load_agent(const std::string& program);

}  // namespace vitrine::probe
