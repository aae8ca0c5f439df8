// Memory that is unpacked where it is read.
#include "memory/decoded_memory.h"

#include <gtest/gtest.h>

#include <array>

namespace vitrine {
namespace {

/// Bytes say their page's number; page 3 cannot be unpacked; a hole follows.
class Pages final : public PackedPages {
 public:
  explicit Pages(std::size_t& unpacked) : unpacked_(unpacked) {}
  [[nodiscard]] std::span<const GpaRange> ranges() const noexcept override { return ranges_; }
  [[nodiscard]] GpaRange piece_of(Gpa at) const noexcept override {
    return {Gpa{at.value & ~(kPageSize - 1)}, kPageSize};
  }
  Result<void> unpack(GpaRange piece, MutableBytes into) const override {
    ++unpacked_;
    if (piece.start == Gpa{0x3000}) return fail(Errc::malformed, piece.start.value, "page");
    std::ranges::fill(into, static_cast<std::byte>(piece.start.value / kPageSize));
    return {};
  }
  [[nodiscard]] bool intact() const noexcept override { return true; }

 private:
  std::size_t& unpacked_;
  std::array<GpaRange, 2> ranges_{GpaRange{Gpa{0}, 0x4000}, GpaRange{Gpa{0x100000}, 32 * kMiB}};
};

TEST(DecodedMemory, UnpacksOnceAndAcrossPieces) {
  std::size_t unpacked = 0;
  const DecodedMemory memory(std::make_unique<Pages>(unpacked));
  std::array<std::byte, 2> two{};
  ASSERT_TRUE(memory.read(Gpa{0xfff}, two));
  EXPECT_EQ(two, (std::array{std::byte{0}, std::byte{1}}));
  ASSERT_TRUE(memory.read(Gpa{0x1ffe}, two));
  EXPECT_EQ(unpacked, 2U);
  EXPECT_EQ(memory.read(Gpa{0x2fff}, two).error().code, Errc::malformed);
  const auto hole = memory.read(Gpa{0x4000}, two);
  ASSERT_FALSE(hole);
  EXPECT_EQ(hole.error().code, Errc::outside_ram);
  EXPECT_EQ(hole.error().address, 0x4000U);
}

TEST(DecodedMemory, KeepsLittleOfMuch) {
  std::size_t unpacked = 0;
  const DecodedMemory memory(std::make_unique<Pages>(unpacked));
  for (int pass = 0; pass < 2; ++pass) {
    for (Gpa at{0x100000}; at < Gpa{0x100000 + 32 * kMiB}; at += kPageSize) {
      const auto value = memory.load<std::uint8_t>(at + 5);
      ASSERT_TRUE(value);
      ASSERT_EQ(*value, static_cast<std::uint8_t>(at.value / kPageSize));
    }
  }
  EXPECT_EQ(unpacked, 2 * 32 * kMiB / kPageSize);
}

}  // namespace
}  // namespace vitrine
