#include "probe/user_frames.h"

#include <gtest/gtest.h>

#include <cstring>

#include "probe/words.h"

namespace vitrine::probe {
namespace {

linux::UserFrame at(std::uint64_t address, std::string symbol, std::string file = {},
                    std::uint64_t offset = 0) {
  return {.address = Gva{address},
          .exact = true,
          .symbol = std::move(symbol),
          .file = std::move(file),
          .offset = offset};
}

TEST(UserFrames, TwoProgramsMayCallOneAddressDifferently) {
  UserFrames names;
  const auto one = names.frame(at(0x401234, "main+0x4"));
  const auto other = names.frame(at(0x401234, "run"));
  EXPECT_NE(one, other);
  EXPECT_EQ(frame_address(one), 0x401234u);
  EXPECT_EQ(frame_address(other), 0x401234u);
  EXPECT_EQ(names.name(one), "main+0x4");
  EXPECT_EQ(names.name(other), "run");
  // The same function is the same frame again: maps count it as one.
  EXPECT_EQ(names.frame(at(0x401234, "main+0x4")), one);
}

TEST(UserFrames, WithoutATableOfSymbolsThePlaceInTheFileIsSaid) {
  UserFrames names;
  EXPECT_EQ(names.name(names.frame(at(0x7f0000001000, "", "/usr/lib/libc.so.6", 0x2724a))),
            "[libc.so.6+0x2724a]");
  EXPECT_EQ(names.name(names.frame(at(0x7ffd00001000, "", "[vdso]"))), "[vdso]");
  const auto nothing = names.frame(at(0x7f0000002000, ""));
  EXPECT_EQ(nothing, 0x7f0000002000u);
  EXPECT_EQ(names.name(nothing), "");
}

TEST(UserFrames, WhatIsNoFrameOfOursHasNoName) {
  UserFrames names;
  EXPECT_EQ(names.name(0), "");
  EXPECT_EQ(names.name(0xffffffff81000000), "");
  EXPECT_EQ(names.name(0x0500000000401234), "");
  EXPECT_EQ(frame_address(0xffffffff81000000), 0xffffffff81000000u);
  // An address that no program has is left as it is.
  EXPECT_EQ(names.frame(at(0x0500000000401234, "forged")), 0x0500000000401234u);
  EXPECT_EQ(names.frame(at(0xffffffffff600000, "vsyscall")), 0xffffffffff600000u);
}

TEST(UserFrames, NamesOfOneAddressAreBounded) {
  UserFrames names;
  for (std::size_t i = 0; i < UserFrames::kMaxOfOne; ++i)
    EXPECT_NE(names.frame(at(0x1000, "f" + std::to_string(i))), 0x1000u);
  EXPECT_EQ(names.frame(at(0x1000, "one too many")), 0x1000u);
  EXPECT_EQ(names.name(names.frame(at(0x1000, "f126"))), "f126");
}

TEST(UserFrames, StacksPrintThem) {
  UserFrames names;
  const auto stack = stack_text({at(0x401234, "main+0x4"), at(0x402000, "")}, &names);
  auto rules = complete({});
  rules.symbol = [&](std::uint64_t frame) { return names.name(frame); };
  EXPECT_EQ(words(ValueView::of(stack), vmipl::ValueType::stack, rules),
            "\n    main+0x4\n    0x402000");
  std::string json;
  EXPECT_TRUE(append_json(json, ValueView::of(stack), vmipl::ValueType::stack, rules));
  EXPECT_EQ(json,
            "[{\"address\":\"0x0000000000401234\",\"symbol\":\"main+0x4\"},"
            "{\"address\":\"0x0000000000402000\",\"symbol\":null}]");
}

}  // namespace
}  // namespace vitrine::probe
