// What is typed at the prompt, and what it becomes.
#include "vmipl/entry.h"

#include <gtest/gtest.h>

#include <algorithm>
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

TEST(Entry, MistakesAreShownAsTyped) {
  const auto text = [](const Entry& made) {
    std::string out;
    for (const auto& item : made.diagnostics().items())
      out += std::to_string(made.source().position(item.span.begin).column) + " " +
             std::string(made.source().text(item.span)) + "\n";
    return out;
  };
  EXPECT_EQ(text(entry("1 + process.name")), "5 process.name\n");
  EXPECT_EQ(text(entry("Print(\"%d\\n\", process.pid)")), "15 process.pid\n");
  EXPECT_EQ(text(entry("f(1, 2)", {"fn f(x) = x"})), "1 f(1, 2)\n");
  // What is wrong by this call in what was declared before stands there.
  const auto inner = entry("f(\"a\")", {"fn f(x) = x * 2"});
  ASSERT_EQ(inner.diagnostics().errors(), 1U);
  EXPECT_EQ(inner.source().position(inner.diagnostics().items()[0].span.begin).line, 2U);
}

TEST(Entry, SaysWhatItDeclares) {
  EXPECT_EQ(declared_name("const kib = 1024"), "kib");
  EXPECT_EQ(declared_name(" fn f(x) = x"), "f");
  EXPECT_EQ(declared_name("constant"), "");
  EXPECT_EQ(declared_name("const"), "");
}

}  // namespace
}  // namespace vitrine::vmipl
