#include "cli/escape.h"

#include <gtest/gtest.h>

namespace vitrine::cli {
namespace {

TEST(Escape, PlainTextStaysAsItIs) {
  EXPECT_EQ(escape("kworker/0:1 [x]", Charset::utf8), "kworker/0:1 [x]");
  EXPECT_EQ(escape("Grüße, 世界", Charset::utf8), "Grüße, 世界");
  EXPECT_EQ(escape("", Charset::utf8), "");
}

TEST(Escape, NothingThatDrivesATerminalGetsThrough) {
  EXPECT_EQ(escape("\x1b]0;owned\x07", Charset::utf8), "\\x1b]0;owned\\x07");
  EXPECT_EQ(escape("a\nb\rc\td\x7f", Charset::utf8), "a\\x0ab\\x0dc\\x09d\\x7f");
  EXPECT_EQ(escape("\xc2\x9b"
                   "31m",
                   Charset::utf8),
            "\\xc2\\x9b31m")
      << "CSI as one C1 character";
  EXPECT_EQ(escape(std::string_view("a\0b", 3), Charset::utf8), "a\\x00b");
}

TEST(Escape, NothingHidesOrTurnsText) {
  EXPECT_EQ(escape("\u202Egpj.exe", Charset::utf8), "\\xe2\\x80\\xaegpj.exe")
      << "right-to-left override";
  EXPECT_EQ(escape("ss\u200Bhd", Charset::utf8), "ss\\xe2\\x80\\x8bhd") << "zero-width space";
  EXPECT_EQ(escape("a\u00A0b", Charset::utf8), "a\\xc2\\xa0b") << "no-break space";
  EXPECT_EQ(escape("\u3164", Charset::utf8), "\\xe3\\x85\\xa4") << "Hangul filler";
  EXPECT_EQ(escape("\u2028", Charset::utf8), "\\xe2\\x80\\xa8") << "line separator";
  EXPECT_EQ(escape("\U000E0041", Charset::utf8), "\\xf3\\xa0\\x81\\x81") << "tag letter";
}

TEST(Escape, BytesThatAreNoTextAreShownOneByOne) {
  EXPECT_EQ(escape("a\xff"
                   "b",
                   Charset::utf8),
            "a\\xffb");
  EXPECT_EQ(escape("\xc0\xaf", Charset::utf8), "\\xc0\\xaf") << "an overlong slash";
  EXPECT_EQ(escape("\xed\xa0\x80", Charset::utf8), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(escape("\xe4\xb8", Charset::utf8), "\\xe4\\xb8") << "cut short";
  EXPECT_EQ(escape("\xf4\x90\x80\x80", Charset::utf8), "\\xf4\\x90\\x80\\x80") << "beyond the last";
}

TEST(Escape, ABackslashIsDoubledSoThatEscapesCannotBeForged) {
  EXPECT_EQ(escape("\\x1b", Charset::utf8), "\\\\x1b");
  EXPECT_NE(escape("\\x1b", Charset::utf8), escape("\x1b", Charset::utf8));
}

TEST(Escape, CombiningMarksNeedALetterAndAreFew) {
  EXPECT_EQ(escape("e\u0301", Charset::utf8), "e\u0301");
  EXPECT_EQ(escape("\u0301", Charset::utf8), "\\xcc\\x81");
  EXPECT_EQ(escape(" \u0301", Charset::utf8), " \\xcc\\x81");
  EXPECT_EQ(escape("e\u0301\u0301\u0301\u0301\u0301", Charset::utf8),
            "e\u0301\u0301\u0301\u0301\\xcc\\x81");
}

TEST(Escape, OutsideUtf8LocalesOnlyAsciiIsShown) {
  EXPECT_EQ(escape("ü", Charset::ascii), "\\xc3\\xbc");
}

TEST(Width, WideAndCombiningAreCounted) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("世界"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);
  EXPECT_EQ(display_width("🦀"), 2U);
}

TEST(Shorten, CutsAtColumnsNotBytes) {
  EXPECT_EQ(shorten("abcdef", 6, Charset::utf8), "abcdef");
  EXPECT_EQ(shorten("abcdef", 5, Charset::utf8), "abcd…");
  EXPECT_EQ(shorten("abcdef", 5, Charset::ascii), "abc..");
  EXPECT_EQ(shorten("世界世界", 6, Charset::utf8), "世界…");
  EXPECT_EQ(shorten("世界世界", 4, Charset::utf8), "世…");
  EXPECT_EQ(shorten("abc", 0, Charset::utf8), "");
}

TEST(Shorten, InTheMiddleKeepsBothEnds) {
  EXPECT_EQ(shorten_middle("127.0.0.1:42001", 15, Charset::utf8), "127.0.0.1:42001");
  EXPECT_EQ(shorten_middle("127.0.0.1:42001", 11, Charset::utf8), "127.0…42001");
  EXPECT_EQ(shorten_middle("/usr/lib/x/世界", 8, Charset::utf8), "/us…世界");
  EXPECT_EQ(shorten_middle("abcdefe\u0301", 4, Charset::utf8), "a…fe\u0301");
}

TEST(Json, TextIsQuotedAndHarmless) {
  const auto json = [](std::string_view text) {
    std::string out;
    append_json(out, text);
    return out;
  };
  EXPECT_EQ(json("a\"b\\c\n"), R"("a\"b\\c\n")");
  EXPECT_EQ(json("\x1b[31m"), R"("\u001b[31m")");
  EXPECT_EQ(json("\u202E"), "\"\\u202e\"");
  EXPECT_EQ(json("\U000E0041"), R"("\udb40\udc41")");
  EXPECT_EQ(json("世界"), R"("世界")");
}

TEST(Json, InvalidBytesAreEscapedOverADoubledBackslash) {
  EXPECT_EQ(escape_invalid("a\xff\\x"), "a\\xff\\\\x");
}

}  // namespace
}  // namespace vitrine::cli
