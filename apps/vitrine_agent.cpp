// vitrine-agent.so: the QEMU plugin. QEMU calls qemu_plugin_install(); all else is probe/agent.
#include "probe/agent/agent.h"

namespace {

/// QEMU compares the versions of the interface before it calls us, and tells numbers alone.
__attribute__((constructor)) void loaded() { vitrine::probe::tell_if_too_old(); }

}  // namespace

extern "C" {

__attribute__((visibility("default"))) extern const int qemu_plugin_version;
const int qemu_plugin_version = vitrine::probe::kLeastPluginApi;

__attribute__((visibility("default"))) int qemu_plugin_install(
    vitrine::probe::PluginId id, const vitrine::probe::PluginInfo* info, int argc, char** argv);
int qemu_plugin_install(vitrine::probe::PluginId id, const vitrine::probe::PluginInfo* info,
                        int argc, char** argv) {
  return vitrine::probe::install_agent(id, *info, argc, argv);
}
}
