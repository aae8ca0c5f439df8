// Counted stacks as text and as a picture, with names that a guest chose.
#include <gtest/gtest.h>

#include "probe/profile/flame_graph.h"
#include "probe/profile/stack_counts.h"

namespace vitrine::probe {
namespace {

TEST(StackCounts, FoldsInOrderOfNames) {
  StackCounts counts;
  counts.add({"a", "c"});
  counts.add({"a", "b"}, 3);
  counts.add({"a", "b"});
  counts.add({"a"});
  EXPECT_EQ(counts.folded(), "a 1\na;b 4\na;c 1\n");
  EXPECT_EQ(counts.total(), 6U);
}

TEST(StackCounts, NamesCannotForgeStacks) {
  StackCounts counts;
  counts.add({"x;y 9\nz", "\xff\\"});
  EXPECT_EQ(counts.folded(), "x:y 9\\x0az;\\xff\\\\ 1\n");
}

TEST(StackCounts, NamesWithoutEndAreCountedAsLost) {
  StackCounts counts;
  std::vector<std::string> stack(StackCounts::kMaxDepth, std::string(4096, 'x'));
  for (int i = 0; i < 100; ++i) {
    stack.back() = std::to_string(i);
    counts.add(stack);
  }
  EXPECT_GT(counts.lost(), 30U);  // 2 MiB each
  EXPECT_EQ(counts.lost() + counts.total(), 100U);
  EXPECT_LE(counts.folded().size(), StackCounts::kMaxText + 100 * 1024);
  stack.back() = "0";
  counts.add(stack);
  EXPECT_EQ(counts.lost() + counts.total(), 101U);
  EXPECT_EQ(counts.total(), 101 - counts.lost());
}

TEST(StackCounts, WhatIsTooDeepIsCountedAsLost) {
  StackCounts counts;
  counts.add(std::vector<std::string>(StackCounts::kMaxDepth + 1, "f"), 5);
  EXPECT_EQ(counts.total(), 0U);
  EXPECT_EQ(counts.lost(), 5U);
}

TEST(FlameGraph, TitlesTellNameSamplesAndShare) {
  StackCounts counts;
  counts.add({"spin", "main"}, 3);
  counts.add({"spin", "work_[k]"}, 1);
  const auto svg = flame_graph_svg(counts, {.title = "web1", .subtitle = "4 samples"});
  EXPECT_NE(svg.find("<title>main (3 samples, 75.00%)</title>"), svg.npos);
  EXPECT_NE(svg.find("<title>work_[k] (1 samples, 25.00%)</title>"), svg.npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_EQ(svg.find("http", svg.find("w3.org")), svg.npos);  // nothing from elsewhere
}

TEST(FlameGraph, AGuestsNamesStayText) {
  StackCounts counts;
  counts.add({"</title><script>alert(1)</script>", "a&b\"'\x1b[2J"});
  const auto svg = flame_graph_svg(counts, {.title = "<b>", .subtitle = "]]>"});
  EXPECT_EQ(svg.find("<script>alert"), svg.npos);
  EXPECT_NE(svg.find("&lt;script&gt;alert"), svg.npos);
  EXPECT_EQ(svg.find('\x1b'), svg.npos);
  EXPECT_NE(svg.find("a&amp;b&quot;&#39;\\x1b[2J"), svg.npos);
}

TEST(FlameGraph, NarrowFramesAreLeftOutAndCounted) {
  StackCounts counts;
  counts.add({"wide"}, 1'000'000);
  counts.add({"narrow"}, 1);
  const auto svg = flame_graph_svg(counts, {.title = "t", .subtitle = "s"});
  EXPECT_EQ(svg.find("<title>narrow"), svg.npos);
  EXPECT_NE(svg.find("s; 1 frames are too narrow"), svg.npos);
}

TEST(FlameGraph, NothingSampledIsSaid) {
  EXPECT_NE(flame_graph_svg({}, {.title = "t", .subtitle = "s"}).find("no sample was taken"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrine::probe
