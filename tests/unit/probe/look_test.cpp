#include "probe/polling/look.h"

#include <gtest/gtest.h>

namespace vitrine::probe {
namespace {

LookedProcess process(std::int64_t pid, std::int64_t parent, std::uint64_t exec_id,
                      std::int64_t start = 1) {
  LookedProcess out;
  out.pid = pid;
  out.parent = parent;
  out.address = 0xffff888000000000U + static_cast<std::uint64_t>(pid) * 4096;
  out.start_time = start;
  out.exec_id = exec_id;
  return out;
}

Look look(std::vector<LookedProcess> processes, std::vector<LookedModule> modules = {}) {
  Look out;
  out.processes = std::move(processes);
  out.modules = std::move(modules);
  return out;
}

std::string told(const Look& before, const Look& after) {
  std::string out;
  for (const auto& change : changes(before, after)) {
    constexpr const char* kNames[] = {"exit", "start", "exec", "unload", "load"};
    out += out.empty() ? "" : ", ";
    out += kNames[change.kind];
    out += ' ' +
           (change.process != nullptr ? std::to_string(change.process->pid) : change.module->name);
  }
  return out;
}

TEST(Look, nothing_changed) {
  EXPECT_EQ(
      told(look({process(1, 0, 2), process(7, 1, 3)}), look({process(1, 0, 2), process(7, 1, 3)})),
      "");
}

TEST(Look, starts_execs_and_exits) {
  const auto before = look({process(1, 0, 2), process(7, 1, 3)});
  EXPECT_EQ(told(before, look({process(1, 0, 2)})), "exit 7");
  EXPECT_EQ(told(before, look({process(1, 0, 2), process(7, 1, 4)})), "exec 7");
}

TEST(Look, new_processes_in_the_order_of_their_start) {
  const auto before = look({process(1, 0, 2)});
  EXPECT_EQ(told(before, look({process(1, 0, 2), process(8, 1, 2, 6), process(9, 1, 2, 5)})),
            "start 9, start 8");
  // One that has another exec id than its parent has run another program since.
  EXPECT_EQ(told(before, look({process(1, 0, 2), process(8, 1, 3, 6)})), "start 8, exec 8");
}

TEST(Look, a_pid_used_again_is_an_exit_and_a_start) {
  EXPECT_EQ(told(look({process(1, 0, 2), process(7, 1, 2, 5)}),
                 look({process(1, 0, 2), process(7, 1, 2, 9)})),
            "exit 7, start 7");
}

TEST(Look, a_zombie_has_ended_once) {
  auto zombie = process(7, 1, 2);
  zombie.ended = true;
  const auto one = look({process(1, 0, 2), process(7, 1, 2)}),
             two = look({process(1, 0, 2), zombie}), three = look({process(1, 0, 2)});
  EXPECT_EQ(told(one, two), "exit 7");
  EXPECT_EQ(told(two, two), "");
  EXPECT_EQ(told(two, three), "");
  EXPECT_EQ(told(three, two), "start 7, exit 7");
}

TEST(Look, of_a_look_that_is_not_whole_nothing_is_gone_and_after_it_nothing_is_new) {
  const auto whole = look({process(1, 0, 2), process(7, 1, 2)}, {{"a", 1, 2, 3}});
  auto part = look({process(1, 0, 2)});
  part.whole = false;
  EXPECT_EQ(told(whole, part), "");
  EXPECT_EQ(told(part, whole), "");
}

TEST(Look, modules_come_and_go) {
  const auto before = look({}, {{"a", 0x10, 2, 3}, {"b", 0x20, 2, 3}}),
             after = look({}, {{"b", 0x20, 2, 3}, {"c", 0x10, 2, 3}});
  EXPECT_EQ(told(before, after), "unload a, load c");
}

}  // namespace
}  // namespace vitrine::probe
