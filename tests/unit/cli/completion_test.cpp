#include "cli/completion.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/cli/fake_world.h"

namespace vitrine::cli {
namespace {

std::vector<std::string> complete(std::vector<std::string> words) {
  test::Script script;
  script.machines = {{.name = "web1", .pid = 1}, {.name = "evil\x1b[2J", .pid = 2}};
  const test::FakeWorld world(script);
  return candidates(words, world);
}

using List = std::vector<std::string>;

TEST(Completion, Commands) {
  EXPECT_EQ(complete({"pst"}), List{"pstree"});
  EXPECT_EQ(complete({"--v"}), List{"--version"});
  EXPECT_EQ(complete({"help", "vi"}), List{"views"});
  EXPECT_EQ(complete({"__complete", ""}), List{}) << "hidden";
  EXPECT_EQ(complete({"nonsense", ""}), List{});
  EXPECT_EQ(complete({}), List{});
}

TEST(Completion, MachinesThatCanBeTyped) {
  EXPECT_EQ(complete({"ps", ""}), (List{"web1", ":files"}));
  EXPECT_EQ(complete({"show", "things", "w"}), (List{"web1", ":files"}));
}

TEST(Completion, ViewsColumnsOptions) {
  EXPECT_EQ(complete({"show", "th"}), List{"things"});
  EXPECT_EQ(complete({"show", "things", "--columns", "pi"}), List{"pid"});
  EXPECT_EQ(complete({"show", "things", "--columns", "pid,+na"}), List{"pid,+name"});
  EXPECT_EQ(complete({"ps", "web1", "--sort", "-pp"}), List{"-ppid"});
  EXPECT_EQ(complete({"ps", "web1", "--no-h"}), List{"--no-header"});
  EXPECT_EQ(complete({"completion", "z"}), List{"zsh"});
}

TEST(Completion, WordsOfWhichThereAreFew) {
  EXPECT_EQ(complete({"fvm", "d"}), (List{"detach", "drain"}));
  EXPECT_EQ(complete({"evidence", ""}), (List{"list", "show", "verify"}));
  EXPECT_EQ(complete({"top", "web1", "--sort", "m"}), List{"memory"});
  EXPECT_EQ(complete({"demo", "--kernel", "6."}), (List{"6.1", "6.12"}));
}

TEST(Completion, ThereIsAScriptForEachShell) {
  for (const auto* shell : {"bash", "zsh", "fish"}) {
    EXPECT_NE(completion_script(shell).find("__complete"), std::string_view::npos) << shell;
  }
  EXPECT_EQ(completion_script("tcsh"), "");
}

}  // namespace
}  // namespace vitrine::cli
