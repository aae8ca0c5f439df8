#include "cli/process_tree.h"

#include <gtest/gtest.h>

#include "unit/cli/fake_world.h"

namespace vitrine::cli {
namespace {

using Lines = std::vector<std::string>;

TEST(ProcessTree, ChildrenStandBelowTheirParents) {
  const std::vector<TreeProcess> processes = {{1, 0, "init"},   {2, 0, "kthreadd"}, {10, 1, "sshd"},
                                              {11, 10, "bash"}, {12, 1, "cron"},    {3, 2, "rcu"}};
  EXPECT_EQ(draw_tree(processes, 0, Charset::utf8),
            (Lines{"init", "├─ sshd", "│  └─ bash", "└─ cron", "kthreadd", "└─ rcu"}));
  EXPECT_EQ(draw_tree(processes, 10, Charset::ascii), (Lines{"sshd", "`- bash"}));
  EXPECT_EQ(draw_tree(processes, 99, Charset::ascii), Lines{});
}

TEST(ProcessTree, OrphansStandAtTheLeft) {
  EXPECT_EQ(draw_tree({{1, 0, "init"}, {5, 4, "orphan"}}, 0, Charset::utf8),
            (Lines{"init", "orphan"}));
}

TEST(ProcessTree, RingsOfParentsAreOpenedAndDrawnOnce) {
  EXPECT_EQ(draw_tree({{1, 0, "init"}, {7, 9, "a"}, {8, 7, "b"}, {9, 8, "c"}}, 0, Charset::ascii),
            (Lines{"init", "a  ? its parents form a ring", "`- b", "   `- c"}));
  EXPECT_EQ(draw_tree({{7, 9, "a"}, {9, 7, "c"}}, 9, Charset::ascii), (Lines{"c", "`- a"}));
  EXPECT_EQ(draw_tree({{7, 7, "itself"}}, 0, Charset::ascii), (Lines{"itself"}));
}

TEST(ProcessTree, EveryProcessIsDrawnEvenIfPidsRepeat) {
  EXPECT_EQ(draw_tree({{1, 0, "init"}, {1, 0, "other"}, {2, 1, "x"}}, 0, Charset::ascii).size(),
            3U);
}

TEST(ProcessTree, DepthIsBounded) {
  std::vector<TreeProcess> chain;
  for (std::int64_t pid = 1; pid <= 100'000; ++pid) chain.push_back({pid, pid - 1, "p"});
  const auto lines = draw_tree(chain, 0, Charset::ascii);
  ASSERT_EQ(lines.size(), chain.size());
  EXPECT_LT(lines.back().size(), 300U);
}

TEST(Pstree, DrawsTheView) {
  test::Script script;
  script.processes = [](linux::RowSink& rows) -> Outcome<linux::Tally> {
    for (std::int64_t pid = 1; pid < 3; ++pid) {
      rows.begin();
      rows.set(0, pid);
      rows.set(1, pid - 1);
      rows.set(2, std::string(pid == 1 ? "init" : "\x1b[m"));
      static_cast<void>(rows.end());
    }
    return linux::Tally{};
  };
  EXPECT_EQ(test::run({"pstree", "web1"}, script).out, "1 init\n└─ 2 \\x1b[m\n");
  EXPECT_EQ(test::run({"pstree", "web1", "--pid", "9"}, script).status, Status::failed);
}

}  // namespace
}  // namespace vitrine::cli
