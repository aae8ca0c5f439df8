#include "linux/view.h"

#include <gtest/gtest.h>

namespace vitrine::linux {
namespace {

TEST(MissingColumns, OneReasonMayStandForSeveral) {
  const MissingColumns one{{"cpu"}, "this kernel has no symbol runqueues"};
  EXPECT_TRUE(one.about("cpu"));
  EXPECT_FALSE(one.about("cpus"));
  EXPECT_EQ(one.words(), "cpu: this kernel has no symbol runqueues");
  const MissingColumns some{{"rx_bytes", "rx_packets", "tx_bytes"}, "counted: otherwise, tx"};
  for (const auto* name : {"rx_bytes", "rx_packets", "tx_bytes"})
    EXPECT_TRUE(some.about(name)) << name;
  for (const auto* name : {"rx", "tx", "counted", "bytes", ""})
    EXPECT_FALSE(some.about(name)) << name;
  EXPECT_EQ(some.words(), "rx_bytes, rx_packets, tx_bytes: counted: otherwise, tx");
}

TEST(MissingColumns, WithoutNamesWholeRowsAreMissing) {
  const MissingColumns rows{{}, "sockets of netlink: this kernel has no symbol nl_table"};
  EXPECT_FALSE(rows.about(""));
  EXPECT_EQ(rows.words(), "sockets of netlink: this kernel has no symbol nl_table");
}

}  // namespace
}  // namespace vitrine::linux
