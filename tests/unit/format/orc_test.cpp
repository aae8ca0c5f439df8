// ORC rules in the layouts that kernels have had, and the search for a rule's place.
#include "format/orc.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

namespace vitrine::format {
namespace {

constexpr OrcLayout kOld{6,       {0, 16}, {16, 16}, {32, 4},
                         {36, 4}, {40, 2}, {},       {42, 1}};  // 4.14 to 6.2
constexpr OrcLayout kSignal{6,       {0, 16}, {16, 16}, {32, 4},
                            {36, 4}, {40, 2}, {42, 1},  {43, 1}};  // 6.3
constexpr OrcLayout kNew{6,       {0, 16}, {16, 16}, {32, 4},
                         {36, 4}, {40, 3}, {43, 1},  {}};  // from 6.4 on

std::array<std::byte, 6> rule(std::int16_t sp, std::int16_t bp, std::uint16_t bits) {
  std::array<std::byte, 6> bytes{};
  std::memcpy(bytes.data(), &sp, 2);
  std::memcpy(bytes.data() + 2, &bp, 2);
  std::memcpy(bytes.data() + 4, &bits, 2);
  return bytes;
}

TEST(Orc, ACallInEachLayout) {
  const auto old = parse_orc(rule(16, -16, 0x015), kOld);
  ASSERT_TRUE(old);
  EXPECT_EQ(old->kind, OrcKind::call);
  EXPECT_EQ(old->sp_base, OrcBase::sp);
  EXPECT_EQ(old->bp_base, OrcBase::previous_sp);
  EXPECT_EQ(old->sp_offset, 16);
  EXPECT_EQ(old->bp_offset, -16);
  EXPECT_FALSE(old->exact);
  const auto newer = parse_orc(rule(16, -16, 0x215), kNew);
  ASSERT_TRUE(newer);
  EXPECT_EQ(newer->kind, OrcKind::call);
  EXPECT_EQ(newer->bp_offset, -16);
}

TEST(Orc, RegistersAreExact) {
  EXPECT_TRUE(parse_orc(rule(0, 0, 0x105), kOld)->exact);
  EXPECT_EQ(parse_orc(rule(0, 0, 0x105), kOld)->kind, OrcKind::registers);
  EXPECT_EQ(parse_orc(rule(0, 0, 0x205), kOld)->kind, OrcKind::interrupt_registers);
  EXPECT_EQ(parse_orc(rule(0, 0, 0xb05), kNew)->kind, OrcKind::registers);
  EXPECT_TRUE(parse_orc(rule(0, 0, 0xb05), kNew)->exact);
  EXPECT_FALSE(parse_orc(rule(0, 0, 0x305), kNew)->exact);
  EXPECT_TRUE(parse_orc(rule(0, 0, 0x405), kSignal)->exact);  // type call, signal
}

TEST(Orc, WhereNothingIsKnownAndWhereItEnds) {
  EXPECT_EQ(parse_orc(rule(0, 0, 0), kOld)->kind, OrcKind::undefined);
  EXPECT_EQ(parse_orc(rule(0, 0, 0x400), kOld)->kind, OrcKind::end);
  EXPECT_EQ(parse_orc(rule(0, 0, 0), kNew)->kind, OrcKind::undefined);
  EXPECT_EQ(parse_orc(rule(0, 0, 0x100), kNew)->kind, OrcKind::end);
}

TEST(Orc, RefusesWhatNoKernelKnows) {
  EXPECT_EQ(parse_orc(rule(0, 0, 0x305), kOld).error().code, Errc::malformed);  // type 3
  EXPECT_EQ(parse_orc(rule(0, 0, 0x505), kNew).error().code, Errc::malformed);  // type 5
  EXPECT_EQ(parse_orc(rule(0, 0, 0x20a), kNew).error().code, Errc::malformed);  // base 10
  EXPECT_EQ(parse_orc(rule(0, 0, 0x200), kNew).error().code,
            Errc::malformed);  // a call from nowhere
  EXPECT_EQ(parse_orc(Bytes(rule(0, 0, 0)).first(5), kNew).error().code, Errc::out_of_bounds);
  auto layout = kNew;
  layout.type = {46, 3};
  EXPECT_EQ(parse_orc(rule(0, 0, 0x215), layout).error().code, Errc::invalid);
  EXPECT_EQ(parse_orc(rule(0, 0, 0x215), OrcLayout{}).error().code, Errc::invalid);
}

TEST(Orc, BasesWereNumberedAnew) {
  auto second = kNew;
  second.numbering = OrcNumbering::second;
  const auto call = parse_orc(rule(16, -16, 0x283), second);
  ASSERT_TRUE(call);
  EXPECT_EQ(call->sp_base, OrcBase::sp);
  EXPECT_EQ(call->bp_base, OrcBase::previous_sp);
  EXPECT_EQ(parse_orc(rule(-8, 0, 0x24a), second)->sp_base, OrcBase::bp_indirect);
  EXPECT_EQ(parse_orc(rule(8, 0, 0x201), second).error().code, Errc::malformed);

  const auto table = [](std::uint16_t call_bits, std::uint16_t entry_bits) {
    std::vector<std::byte> bytes;
    for (int i = 0; i < 9; ++i) {
      const auto one = i % 3 == 2 ? rule(0, 0, entry_bits)
                                  : rule(static_cast<std::int16_t>(8 + i % 3 * 8), 0, call_bits);
      bytes.insert(bytes.end(), one.begin(), one.end());
    }
    return bytes;
  };
  EXPECT_EQ(find_orc_numbering(table(0x205, 0xb05), kNew), OrcNumbering::first);
  EXPECT_EQ(find_orc_numbering(table(0x203, 0xb03), kNew), OrcNumbering::second);
  EXPECT_EQ(find_orc_numbering({}, kNew), OrcNumbering::first);
}

TEST(Orc, FindsTheLastPlaceAtOrBefore) {
  const std::uint64_t start = 0xffff'ffff'8200'0000;
  const std::vector<std::uint64_t> places{start - 64, start - 48, start - 48, start - 16};
  std::vector<std::int32_t> table;
  for (std::size_t i = 0; i < places.size(); ++i) {
    table.push_back(static_cast<std::int32_t>(places[i] - (start + i * 4)));
  }
  const auto bytes = std::as_bytes(std::span(table));
  EXPECT_FALSE(find_orc(bytes, start, start - 65));
  EXPECT_EQ(find_orc(bytes, start, start - 64), 0U);
  EXPECT_EQ(find_orc(bytes, start, start - 49), 0U);
  EXPECT_EQ(find_orc(bytes, start, start - 48), 2U);
  EXPECT_EQ(find_orc(bytes, start, UINT64_MAX), 3U);
  EXPECT_FALSE(find_orc({}, start, start));
}

}  // namespace
}  // namespace vitrine::format
