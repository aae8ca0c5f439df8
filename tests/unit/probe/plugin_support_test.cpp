// Which QEMU can load the agent, by its program. One that can: guest.agent.*
#include "probe/agent/plugin_support.h"

#include <gtest/gtest.h>

#include <string>

// What a QEMU before 9.1 has: this program stands for one.
extern "C" void qemu_plugin_register_vcpu_tb_trans_cb();
void qemu_plugin_register_vcpu_tb_trans_cb() {}

namespace vitrine::probe {
namespace {

TEST(PluginSupport, TellsWhatAProgramLacks) {
  qemu_plugin_register_vcpu_tb_trans_cb();
  EXPECT_NE(cannot_load_agent("/proc/self/exe").value_or("").find("older than QEMU 9.1"),
            std::string_view::npos);
  EXPECT_EQ(cannot_load_agent("/bin/sh"), "it is built without plugins");
}

TEST(PluginSupport, SaysNothingOfWhatItCannotRead) {
  EXPECT_EQ(cannot_load_agent("/no/such/program"), std::nullopt);
  EXPECT_EQ(cannot_load_agent("/etc/passwd"), std::nullopt);
  EXPECT_EQ(cannot_load_agent("/proc"), std::nullopt);
}

}  // namespace
}  // namespace vitrine::probe
