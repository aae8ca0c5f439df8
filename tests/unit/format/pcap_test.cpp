#include "format/pcap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "format/pcapng.h"

namespace vitrine::format {
namespace {

std::string words(std::initializer_list<std::uint32_t> values) {
  std::string out;
  for (const auto value : values) out.append(reinterpret_cast<const char*>(&value), sizeof value);
  return out;
}
const std::string kHead = words({0xa1b2c3d4, 0x00040002, 0, 0, 65536, 1});

TEST(Pcap, comes_piece_by_piece) {
  const std::string file = kHead + words({10, 500000, 4, 60}) + "abcd" + words({11, 0, 0, 0});
  PcapStream stream;
  std::vector<PcapPacket> packets;
  for (const char byte : file) {
    stream.feed(bytes_of(std::string_view(&byte, 1)));
    while (true) {
      auto next = stream.next();
      ASSERT_TRUE(next);
      if (!*next) break;
      packets.push_back(**next);
    }
  }
  ASSERT_EQ(packets.size(), 2U);
  EXPECT_EQ(packets[0].time_ns, 10'500'000'000U);
  EXPECT_EQ(packets[0].length, 60U);
  EXPECT_EQ(packets[0].bytes.size(), 4U);
  EXPECT_EQ(stream.link_type(), 1U);
}

TEST(Pcap, that_is_none_is_refused_for_good) {
  PcapStream stream;
  stream.feed(bytes_of(std::string(24, 'x')));
  EXPECT_FALSE(stream.next());
  stream.feed(bytes_of(kHead));
  EXPECT_FALSE(stream.next());
  for (const auto& bad :
       {words({1, 0, 300'000, 300'000}), words({1, 0, 61, 60}), words({1, 2'000'000'000, 1, 1})}) {
    PcapStream other;
    other.feed(bytes_of(kHead + bad));
    EXPECT_FALSE(other.next());
  }
}

TEST(Pcapng, blocks_are_whole_and_aligned) {
  const std::string file = pcapng_header("Vitrine", "web1") + pcapng_interface({"n0", "", 1, 0}) +
                           pcapng_packet(0, 0x1122334455667788U, bytes_of("abcde"), 60) +
                           pcapng_statistics(0, 1, 1, 0);
  std::size_t at = 0, blocks = 0;
  while (at < file.size()) {
    std::uint32_t length = 0, again = 0;
    std::memcpy(&length, file.data() + at + 4, 4);
    ASSERT_EQ(length % 4, 0U);
    ASSERT_LE(at + length, file.size());
    std::memcpy(&again, file.data() + at + length - 4, 4);
    EXPECT_EQ(length, again);
    at += length;
    ++blocks;
  }
  EXPECT_EQ(blocks, 4U);
}

}  // namespace
}  // namespace vitrine::format
