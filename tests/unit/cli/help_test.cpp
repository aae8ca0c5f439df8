#include "cli/help.h"

#include <gtest/gtest.h>

namespace vitrine::cli {
namespace {

TEST(Hanging, BreaksAfterBlanksAndLosesNothing) {
  EXPECT_EQ(hanging("", 20, 4), "");
  EXPECT_EQ(hanging("short", 20, 4), "short");
  EXPECT_EQ(hanging("one two  three", 12, 4), "one two \n     three");
  EXPECT_EQ(hanging("abcdefghij", 9, 4), "abcde\n    fghij");
  EXPECT_EQ(hanging("世界世界", 5, 2), "世\n  界\n  世\n  界");
  EXPECT_EQ(hanging("ab", 1, 4), "a\n    b") << "no room at all still ends";
}

TEST(Wrapped, FitsTheWidth) { EXPECT_EQ(wrapped("a bb ccc", 6, "  "), "  a bb\n  ccc\n"); }

}  // namespace
}  // namespace vitrine::cli
