#include "probe/agent/memory_devices.h"

#include <gtest/gtest.h>

namespace vitrine::probe {
namespace {

TEST(MemoryDevices, are_read_off_the_monitor) {
  EXPECT_TRUE(parse_memory_devices("").empty());
  const auto devices = parse_memory_devices(
      "Memory device [dimm]: \"d1\"\r\n"
      "  addr: 0x100000000\r\n  slot: 0\r\n  node: 0\r\n  size: 134217728\r\n"
      "  memdev: /objects/m1\r\n  hotplugged: true\r\n  hotpluggable: true\r\n"
      "Memory device [virtio-mem]: \"v\"\n"
      "  memaddr: 0x140000000\n  node: 0\n  requested-size: 0\n  size: 4096\n"
      "  max-size: 1073741824\n  block-size: 2097152\n  memdev: /objects/m2\n");
  const std::vector<AgentRange> expected{{0x1'0000'0000, 128 << 20}, {0x1'4000'0000, 1 << 30}};
  EXPECT_EQ(devices, expected);
}

TEST(MemoryDevices, nonsense_is_none) {
  EXPECT_TRUE(parse_memory_devices("  addr: 0x1000\n  size: 4096\n").empty());
  EXPECT_TRUE(parse_memory_devices("Memory device [dimm]: x\n  addr: zz\n  size:\n").empty());
  EXPECT_TRUE(parse_memory_devices("Memory device").empty());
}

}  // namespace
}  // namespace vitrine::probe
