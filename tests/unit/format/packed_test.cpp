// Packed images, built byte by byte: LZO, makedumpfile's flattened form, kdump, AVML.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "format/avml.h"
#include "format/kdump.h"
#include "format/lzo.h"

namespace vitrine::format {
namespace {

using namespace std::string_literals;

std::vector<std::byte> bytes_in(std::string_view text) {
  const auto view = bytes_of(text);
  return {view.begin(), view.end()};
}

template <class T>
void put(std::string& into, std::size_t at, T value) {
  if (into.size() < at + sizeof value) into.resize(at + sizeof value);
  std::memcpy(into.data() + at, &value, sizeof value);
}

std::string unpacked(std::string_view stream, std::size_t size) {
  std::string into(size, '?');
  const auto done = decode_lzo(bytes_of(stream), std::as_writable_bytes(std::span(into)));
  return done ? into : "failed";
}

const std::string kEndMark = "\x11\0\0"s;

TEST(Lzo, Instructions) {
  // 17 + n: literals first.
  EXPECT_EQ(unpacked("\x15"s + "abcd" + kEndMark, 4), "abcd");
  // 1 L L D D D S S: 5 bytes from 4 back, then two literals.
  EXPECT_EQ(unpacked("\x15"s + "abcd" + "\x8e\0xy"s + kEndMark, 11), "abcdabcdaxy");
  // 0 1 L D D D S S: 3 from 1 back repeats a byte.
  EXPECT_EQ(unpacked("\x15"s + "abcd" + "\x40\0"s + kEndMark, 7), "abcdddd");
  // 0 0 1 L L L L L with a long length: 33 + 7 bytes from 2 back.
  EXPECT_EQ(unpacked("\x13"s + "ab" + "\x20\x07\x04\0"s + kEndMark, 42).substr(0, 6), "ababab");
  // Four bits of literals where none were copied before, and none after.
  EXPECT_EQ(unpacked("\x01"s + "abcd" + kEndMark, 4), "abcd");
  // After one to three literals a small code is a copy of 2 bytes within 1 KiB.
  EXPECT_EQ(unpacked("\x13"s + "ab" + "\x04\0"s + kEndMark, 4), "abab");
  EXPECT_EQ(unpacked(kEndMark, 0), "");
}

TEST(Lzo, BrokenStreams) {
  const auto good = "\x15"s + "abcd" + "\x8e\0xy"s + kEndMark;
  for (std::size_t cut = 0; cut < good.size(); ++cut)
    EXPECT_EQ(unpacked(good.substr(0, cut), 11), "failed") << cut;
  EXPECT_EQ(unpacked(good + "z", 11), "failed");  // goes on
  EXPECT_EQ(unpacked(good, 10), "failed");
  EXPECT_EQ(unpacked(good, 12), "failed");
  EXPECT_EQ(unpacked("\x13"s + "ab" + "\x8e\0xy"s + kEndMark, 9),
            "failed");  // before the beginning
  EXPECT_EQ(unpacked("\x20"s + std::string(100, '\0'), 50), "failed");
}

std::string flat(const std::vector<std::pair<std::uint64_t, std::string>>& pieces,
                 bool end = true) {
  std::string file(kFlattenedMagic);
  put(file, 16, __builtin_bswap64(1));
  put(file, 24, __builtin_bswap64(1));
  file.resize(4096);
  for (const auto& [at, bytes] : pieces) {
    put(file, file.size(), __builtin_bswap64(at));
    put(file, file.size(), __builtin_bswap64(bytes.size()));
    file += bytes;
  }
  if (end) file += std::string(16, '\xff');
  return file;
}

std::string all_of(const Flattened& file) {
  std::string all(file.size(), '?');
  EXPECT_TRUE(file.read(0, std::as_writable_bytes(std::span(all))));
  return all;
}

TEST(Flattened, PiecesComeInAnyOrderAndTheLaterCounts) {
  const auto file =
      flat({{8, "later"}, {0, "abcdefgh"}, {2, "XY"}, {0, "A"}, {7, "123"}, {15, "z"}});
  const auto dump = Flattened::open(bytes_of(file));
  ASSERT_TRUE(dump);
  EXPECT_EQ(all_of(*dump), "AbXYefg123ter\0\0z"s);
  EXPECT_FALSE(dump->cut_short());
  std::byte one{};
  EXPECT_TRUE(dump->read(13, std::span(&one, 1)));
  EXPECT_EQ(one, std::byte{0});
  EXPECT_EQ(dump->read(16, std::span(&one, 1)).error().code, Errc::out_of_bounds);
  EXPECT_TRUE(Flattened::open(bytes_of(flat({{0, "abc"}}, false)))->cut_short());
  EXPECT_EQ(Flattened::open(bytes_of(flat({{std::uint64_t{1} << 63U, "a"}}))).error().code,
            Errc::malformed);
}

TEST(Flattened, AnyOtherFileIsItself) {
  EXPECT_EQ(all_of(*Flattened::open(bytes_of("abc"))), "abc");
  EXPECT_EQ(Flattened::open({})->size(), 0U);
}

/// Pages 1 and 2 are of RAM; 1 is plain and full of 'p', 2 was left out.
std::string kdump(std::uint32_t level) {
  std::string file(kKdumpMagic);
  put<std::uint32_t>(file, 8, 6);
  put<std::uint32_t>(file, 428, 4096);  // block_size
  put<std::uint32_t>(file, 432, 1);     // sub_hdr_size
  put<std::uint32_t>(file, 436, 2);     // bitmap_blocks
  put<std::uint32_t>(file, 440, 70);    // max_mapnr
  put<std::uint32_t>(file, 4096 + 8, level);
  file.resize(4 * 4096UL);
  file[2 * 4096UL] = 6;
  file[3 * 4096UL] = 2;
  put<std::uint64_t>(file, 4 * 4096, 5 * 4096);  // the descriptor of page 1
  put<std::uint32_t>(file, 4 * 4096 + 8, 4096);
  put<std::uint64_t>(file, 4 * 4096 + 16, 0);
  file.resize(5 * 4096UL);
  return file + std::string(4096, 'p');
}

/// Every other page: gigabytes of ranges from a few megabytes of bitmap, were there no limit.
TEST(Kdump, MemoryInTooManyRangesIsRefused) {
  constexpr std::uint32_t kBlocks = 2 * 1152;  // 4.5 MiB for each bitmap
  auto file = kdump(0);
  put<std::uint32_t>(file, 436, kBlocks);
  put<std::uint32_t>(file, 440, kBlocks / 2 * 4096 * 8);
  file.resize(2 * 4096UL);
  file += std::string(kBlocks * 4096UL, 'U');
  EXPECT_EQ(Kdump::open(bytes_of(file)).error().code, Errc::too_large);
}

TEST(Kdump, PagesAndWhatWasLeftOut) {
  const auto file = kdump(kLeftOutZeroPages);
  const auto dump = Kdump::open(bytes_of(file));
  ASSERT_TRUE(dump) << dump.error().what;
  EXPECT_EQ(dump->dumped_pages(), 1U);
  EXPECT_EQ(dump->left_out_pages(), 1U);
  ASSERT_EQ(dump->ranges().size(), 1U);
  EXPECT_EQ(dump->ranges()[0], (GpaRange{Gpa{4096}, 8192}));
  std::vector<std::byte> page(4096);
  ASSERT_TRUE(dump->read_page(1, page));
  EXPECT_EQ(page, bytes_in(std::string(4096, 'p')));
  ASSERT_TRUE(dump->read_page(2, page));
  EXPECT_EQ(page, std::vector<std::byte>(4096));
  EXPECT_EQ(dump->read_page(3, page).error().code, Errc::outside_ram);
  EXPECT_EQ(dump->read_page(std::uint64_t{1} << 50U, page).error().code, Errc::outside_ram);

  const auto others = kdump(16);
  const auto holes = Kdump::open(bytes_of(others));
  ASSERT_TRUE(holes);
  EXPECT_EQ(holes->ranges()[0], (GpaRange{Gpa{4096}, 4096}));
  EXPECT_EQ(holes->read_page(2, page).error().code, Errc::outside_ram);

  const auto flattened = flat({{4096, file.substr(4096)}, {0, file.substr(0, 4096)}});
  const auto same = Kdump::open(bytes_of(flattened));
  ASSERT_TRUE(same);
  EXPECT_TRUE(same->read_page(1, page));
}

TEST(Kdump, BrokenHeaders) {
  const auto code_with = [](std::size_t at, std::uint32_t value) {
    auto file = kdump(1);
    put(file, at, value);
    const auto dump = Kdump::open(bytes_of(file));
    return dump ? std::optional<Errc>() : dump.error().code;
  };
  EXPECT_EQ(code_with(0, 0), Errc::malformed);
  EXPECT_EQ(code_with(428, 4095), Errc::malformed);
  EXPECT_EQ(code_with(432, 1000), Errc::out_of_bounds);
  EXPECT_EQ(code_with(436, 0), Errc::malformed);
  EXPECT_EQ(code_with(436, 0xffffffff), Errc::too_large);
  EXPECT_EQ(code_with(440, 0), Errc::malformed);
  EXPECT_EQ(code_with(440, 0xffffffff), Errc::malformed);
  EXPECT_EQ(code_with(4096 + 12, 1), Errc::unsupported);
  EXPECT_EQ(Kdump::open({}).error().code, Errc::malformed);
  const auto good = kdump(1);
  for (const std::size_t cut : {8, 463, 4000, 4200, 12288, 16383})
    EXPECT_FALSE(Kdump::open(bytes_of(good).first(cut))) << cut;
  auto size = kdump(1);
  put<std::uint32_t>(size, 4 * 4096 + 8, 4097);
  std::vector<std::byte> page(4096);
  EXPECT_EQ(Kdump::open(bytes_of(size))->read_page(1, page).error().code, Errc::malformed);
  auto packed = kdump(1);
  put<std::uint32_t>(packed, 4 * 4096 + 12, 1);  // "zlib"
  EXPECT_EQ(Kdump::open(bytes_of(packed))->read_page(1, page).error().code, Errc::malformed);
  auto beyond = kdump(1);
  put<std::uint64_t>(beyond, 4 * 4096, UINT64_MAX - 10);
  EXPECT_EQ(Kdump::open(bytes_of(beyond))->read_page(1, page).error().code, Errc::out_of_bounds);
}

std::string frame(std::uint8_t type, std::string_view body) {
  std::string bytes;
  put(bytes, 0, static_cast<std::uint32_t>(type | body.size() << 8U));
  return bytes + std::string(body);
}

std::string avml(std::uint64_t first, std::uint64_t last, std::string_view frames) {
  std::string file(kAvmlMagic);
  put<std::uint32_t>(file, 4, 2);
  put(file, 8, first);
  put(file, 16, last);
  put<std::uint64_t>(file, 24, 0);
  file += frames;
  put<std::uint64_t>(file, file.size(), frames.size());
  return file;
}

// A raw snappy block: 6 bytes of length, 6 literals.
const std::string kSnappy = "\x06\x14snappy";

TEST(Avml, Chunks) {
  const auto begin = frame(0xff, "sNaPpY");
  const auto file =
      avml(0x1000, 0x1009,
           begin + frame(1, "sum.plai") + frame(0xfe, "padding") + frame(0, "sum." + kSnappy)) +
      avml(0x8000, 0x8003, begin + frame(1, "sum.plai"));
  const auto image = parse_avml(bytes_of(file));
  ASSERT_TRUE(image) << image.error().what;
  ASSERT_EQ(image->chunks.size(), 3U);
  const auto& packed = image->chunks[1];
  EXPECT_EQ(packed.range, (GpaRange{Gpa{0x1004}, 6}));
  std::string text(6, '?');
  ASSERT_TRUE(decompress(packed.how, *slice(bytes_of(file), packed.file_offset, packed.packed_size),
                         std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, "snappy");
  EXPECT_EQ(image->chunks[2].range.start, Gpa{0x8000});
  const auto cut = parse_avml(bytes_of(file).first(60));
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->missing_bytes, 6U);
}

TEST(Avml, BrokenImages) {
  const auto code_of = [](const std::string& file) {
    const auto image = parse_avml(bytes_of(file));
    return image ? std::optional<Errc>() : image.error().code;
  };
  EXPECT_EQ(code_of(""), Errc::malformed);
  EXPECT_EQ(code_of("AVML"), Errc::malformed);
  EXPECT_EQ(code_of(avml(0x1000, 0xfff, "")), Errc::malformed);
  EXPECT_EQ(code_of(avml(0, UINT64_MAX, "")), Errc::malformed);
  EXPECT_EQ(code_of(avml(0, 1, frame(1, "sum.three"))), Errc::malformed);  // beyond the range
  EXPECT_EQ(code_of(avml(0, 9, frame(1, "sum"))), Errc::malformed);
  EXPECT_EQ(code_of(avml(0, 9, frame(2, "sum.abcd"))), Errc::unsupported);
  EXPECT_EQ(code_of(avml(0, 9, frame(0, "sum.\xff\xff\xff\xff\x0f"))), Errc::malformed);
  auto version = avml(0, 3, frame(1, "sum.abcd"));
  put<std::uint32_t>(version, 4, 3);
  EXPECT_EQ(code_of(version), Errc::unsupported);
}

}  // namespace
}  // namespace vitrine::format
