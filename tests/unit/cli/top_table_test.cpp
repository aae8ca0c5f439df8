#include "cli/top_table.h"

#include <gtest/gtest.h>

namespace vitrine::cli {
namespace {

TopLook look(std::int64_t at, std::int64_t busy) {
  TopLook made;
  made.at = at;
  made.processes = {
      {.pid = 1,
       .address = 0x10,
       .state = "S",
       .cpu_time = 5'000'000'000,
       .rss = 4096,
       .command = "/init"},
      {.pid = 7,
       .address = 0x20,
       .uid = 1000,
       .state = "R",
       .cpu_time = busy,
       .rss = 1 << 20,
       .command = "\x1b[2J"},
      {.pid = 2, .address = 0x30, .state = "I", .command = "[kthreadd]", .kernel_thread = true}};
  return made;
}

std::vector<std::string> lines(const TopTable& table, const TopOptions& options,
                               std::size_t rows = 0) {
  StringOutput out, err;
  Console console{.out = out, .err = err};
  return table.lines(options, 0, rows, console);
}

TEST(TopTable, SharesAreKnownFromTheSecondLookOn) {
  TopTable table;
  table.add(look(1'000'000'000, 0));
  EXPECT_EQ(lines(table, {})[0], "3 processes, 1 running");
  table.add(look(2'000'000'000, 250'000'000));
  const auto shown = lines(table, {});
  ASSERT_EQ(shown.size(), 5U);
  EXPECT_EQ(shown[0], "3 processes, 1 running, CPU 25.0 %");
  EXPECT_EQ(shown[1], "PID   UID  S  CPU%    TIME      RSS  COMMAND");
  EXPECT_EQ(shown[2], "  7  1000  R  25.0  0.250s  1.0 MiB  \\x1b[2J");
  EXPECT_EQ(shown[3], "  1     0  S   0.0  5.000s  4.0 KiB  /init");
}

TEST(TopTable, AReusedPidStartsAnew) {
  TopTable table;
  table.add(look(1'000'000'000, 900'000'000));
  auto next = look(2'000'000'000, 100'000'000);
  next.processes[1].address = 0x99;
  table.add(next);
  EXPECT_NE(lines(table, {})[4].find("     -  "), std::string::npos) << lines(table, {})[4];
}

TEST(TopTable, OrdersScrollsAndLeavesOut) {
  TopTable table;
  table.add(look(1'000'000'000, 0));
  EXPECT_EQ(lines(table, {.order = TopOrder::pid})[2].substr(0, 3), "  1");
  EXPECT_EQ(lines(table, {.order = TopOrder::memory})[2].substr(0, 3), "  7");
  EXPECT_EQ(lines(table, {.order = TopOrder::pid, .reverse = true})[2].substr(0, 3), "  7");
  EXPECT_EQ(lines(table, {.order = TopOrder::pid, .from = 2}).size(), 3U);
  EXPECT_EQ(lines(table, {.kernel_threads = false}).size(), 4U);
  EXPECT_EQ(lines(table, {}, 3).size(), 3U) << "no more lines than the screen has";
  EXPECT_EQ(lines(table, {.from = 99}).size(), 2U);
}

TEST(TopTable, NothingWasLookedAtYet) { EXPECT_EQ(lines(TopTable(), {}).size(), 2U); }

}  // namespace
}  // namespace vitrine::cli
