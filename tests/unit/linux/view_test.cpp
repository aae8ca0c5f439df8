#include "linux/view.h"

#include <gtest/gtest.h>

namespace vitrine::linux {
namespace {

TEST(MissingColumns, OneReasonMayStandForSeveral) {
  constexpr std::string_view kOne = "cpu: this kernel has no symbol runqueues";
  EXPECT_TRUE(is_about(kOne, "cpu"));
  EXPECT_FALSE(is_about(kOne, "cpus"));
  EXPECT_FALSE(is_about(kOne, "this kernel has no symbol runqueues"));
  constexpr std::string_view kSome = "rx_bytes, rx_packets, tx_bytes: counted: otherwise, tx";
  for (const auto* name : {"rx_bytes", "rx_packets", "tx_bytes"})
    EXPECT_TRUE(is_about(kSome, name)) << name;
  for (const auto* name : {"rx", "tx", "counted", "bytes", ""})
    EXPECT_FALSE(is_about(kSome, name)) << name;
}

}  // namespace
}  // namespace vitrine::linux
