// What is typed at the prompt, and what it becomes.
#include "vmipl/entry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "vmipl/render.h"

namespace vitrine::vmipl {
namespace {

Entry entry(const std::string& text, const std::vector<std::string>& declarations = {}) {
  return Entry(text, declarations, {});
}

TEST(Entry, IsUnderstoodByItsForm) {
  EXPECT_EQ(entry("").kind(), Entry::empty);
  EXPECT_EQ(entry("  \n").kind(), Entry::empty);
  EXPECT_EQ(entry("1 + 2").kind(), Entry::expression);
  EXPECT_EQ(entry("u64(0xffff000000000000)").kind(), Entry::expression);
  EXPECT_EQ(entry("Print(\"a\\n\")").kind(), Entry::statement);
  EXPECT_EQ(entry("for (i in 0..3) Print(\"%d\\n\", i)").kind(), Entry::statement);
  EXPECT_EQ(entry("@a[1] = 2").kind(), Entry::statement);
  EXPECT_EQ(entry("const x = 1").kind(), Entry::declaration);
  EXPECT_EQ(entry("fn f(x) = x + 1").kind(), Entry::declaration);
  EXPECT_EQ(entry("Syscall(openat) { @ = count() }").kind(), Entry::probes);
  EXPECT_EQ(entry("Stop()").kind(), Entry::statement);
  EXPECT_EQ(entry("Stop { Print(\"a\\n\") }").kind(), Entry::probes);
}

TEST(Entry, BecomesAProgram) {
  for (const auto* text : {"1 + 2", "\"text\"", "now", "Print(\"a\\n\")",
                           "Every(1s) { @ = count() }", "let x = 1 Print(\"%d\\n\", x)"}) {
    const auto made = entry(text);
    EXPECT_TRUE(made.checked().program) << text << "\n"
                                        << render_text(made.source(), made.diagnostics());
  }
  EXPECT_TRUE(entry("1").runs_once());
  EXPECT_TRUE(entry("Start { Print(\"a\\n\") }").runs_once());
  EXPECT_FALSE(entry("Every(1s) { @ = count() }").runs_once());
}

TEST(Entry, DeclarationsAreKept) {
  const std::vector<std::string> kept{"const kib = 1024", "fn double(x) = 2 * x"};
  EXPECT_TRUE(entry("double(kib)", kept).checked().program);
  EXPECT_GT(entry("double(kib)").diagnostics().errors(), 0U);
  EXPECT_EQ(entry("const kib = 1", kept).diagnostics().errors(), 1U) << "the name is taken";
}

TEST(Entry, AMistakeIsToldAtItsPlace) {
  const auto value = entry("u64(\"a\")");
  ASSERT_EQ(value.diagnostics().errors(), 1U);
  EXPECT_EQ(value.kind(), Entry::expression);
  EXPECT_EQ(value.source().text(value.diagnostics().items().front().span), "\"a\"");
  const auto statement = entry("for (i in 0..) { }");
  EXPECT_GT(statement.diagnostics().errors(), 0U);
  EXPECT_EQ(statement.kind(), Entry::statement);
}

TEST(Entry, GoesOnWhereSomethingIsOpen) {
  EXPECT_TRUE(is_unfinished("Start {"));
  EXPECT_TRUE(is_unfinished("f(1,"));
  EXPECT_TRUE(is_unfinished("/* a"));
  EXPECT_FALSE(is_unfinished("Start { }"));
  EXPECT_FALSE(is_unfinished("}"));
  EXPECT_FALSE(is_unfinished("Print(\"{\")"));
  EXPECT_FALSE(is_unfinished("// {"));
  EXPECT_FALSE(is_unfinished(""));
}

class Views final : public ViewPort {
 public:
  [[nodiscard]] std::optional<std::vector<ViewColumn>> columns(
      std::string_view view) const override {
    if (view != "sockets") return std::nullopt;
    return std::vector<ViewColumn>{{"state", ColumnKind::text}, {"remote", ColumnKind::text}};
  }
  [[nodiscard]] std::vector<std::string> names() const override { return {"sockets", "processes"}; }
};

TEST(Entry, CompletesWhatMayStandThere) {
  const Views views;
  const Ports ports{nullptr, nullptr, &views};
  const auto has = [&](std::string_view line, std::string_view word) {
    const auto found = complete(line, ports);
    return std::ranges::find(found, word) != found.end();
  };
  EXPECT_TRUE(has("Sys", "Syscall"));
  EXPECT_TRUE(has("for (s in s", "sockets"));
  EXPECT_FALSE(has("for (s in s", "string"));
  EXPECT_TRUE(has("Print(\"%s\", process.na", "process.name"));
  EXPECT_TRUE(has("reg.r1", "reg.r15"));
  EXPECT_TRUE(has("for (s in sockets) if (s.st", "s.state"));
  EXPECT_TRUE(has("WriteAt(jiffies) { event.v", "event.value"));
  EXPECT_TRUE(complete("zzz", ports).empty());
  EXPECT_EQ(last_word("a + process.na"), "process.na");
}

}  // namespace
}  // namespace vitrine::vmipl
