#include "linux/kernel_log.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <vector>

#include "unit/linux/fake_memory.h"

namespace vitrine::linux {
namespace {

using test::FakeMemory;

// As 6.1 tells it.
constexpr std::string_view kVmcoreinfo =
    "OSRELEASE=6.1.0\n"
    "SIZE(printk_ringbuffer)=88\nOFFSET(printk_ringbuffer.desc_ring)=0\nOFFSET(printk_ringbuffer."
    "text_data_ring)=48\n"
    "OFFSET(printk_ringbuffer.fail)=80\nSIZE(prb_desc_ring)=48\nOFFSET(prb_desc_ring.count_bits)="
    "0\n"
    "OFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\nOFFSET(prb_desc_ring.head_id)="
    "24\n"
    "OFFSET(prb_desc_ring.tail_id)=32\nSIZE(prb_desc)=24\nOFFSET(prb_desc.state_var)=0\n"
    "OFFSET(prb_desc.text_blk_lpos)=8\nSIZE(prb_data_blk_lpos)=16\nOFFSET(prb_data_blk_lpos.begin)="
    "0\n"
    "OFFSET(prb_data_blk_lpos.next)=8\nSIZE(printk_info)=88\nOFFSET(printk_info.seq)=0\nOFFSET("
    "printk_info.ts_nsec)=8\n"
    "OFFSET(printk_info.text_len)=16\nOFFSET(printk_info.caller_id)=20\nOFFSET(printk_info.dev_"
    "info)=24\n"
    "SIZE(dev_printk_info)=64\nOFFSET(dev_printk_info.subsystem)=0\nLENGTH(printk_info_subsystem)="
    "16\n"
    "OFFSET(dev_printk_info.device)=16\nLENGTH(printk_info_device)=48\nSIZE(prb_data_ring)=32\n"
    "OFFSET(prb_data_ring.size_bits)=0\nOFFSET(prb_data_ring.data)=8\nOFFSET(prb_data_ring.head_"
    "lpos)=16\n"
    "OFFSET(prb_data_ring.tail_lpos)=24\n";

enum State : std::uint64_t { kReserved, kCommitted, kFinalized, kReusable };

/// A ring of 8 records and 256 bytes of text, written as the kernel writes it.
class Ring {
 public:
  static constexpr Gva kAt{0xffff'ffff'8200'0000};
  static constexpr Gva kDescs{0xffff'ffff'8201'0000};
  static constexpr Gva kInfos{0xffff'ffff'8202'0000};
  static constexpr Gva kData{0xffff'ffff'8203'0000};
  static constexpr std::uint64_t kCount = 8;
  static constexpr std::uint64_t kSize = 256;
  static constexpr std::uint64_t kIds = (std::uint64_t{1} << 62) - 1;

  FakeMemory memory;
  LogLayout layout = LogLayout::parse(kVmcoreinfo).value();
  // DESC0_ID and the initial lpos of the kernel: just before everything wraps.
  std::uint64_t tail = (0 - (kCount + 1)) & kIds, head = tail;
  std::uint64_t sequence = 0, position = 0 - kSize;

  Ring() {
    memory.write(kDescs, std::vector<std::byte>(kCount * 24));
    memory.write(kInfos, std::vector<std::byte>(kCount * 88));
    memory.write(kData, std::vector<std::byte>(kSize));
    descriptor(tail, kReusable, 1, 1);
    header();
  }

  void header() {
    memory.write(kAt, std::vector<std::byte>(88));
    memory.put<std::uint32_t>(kAt, 3);
    memory.put(kAt + 8, kDescs);
    memory.put(kAt + 16, kInfos);
    memory.put(kAt + 24, head);
    memory.put(kAt + 32, tail);
    memory.put<std::uint32_t>(kAt + 48, 8);
    memory.put(kAt + 56, kData);
  }

  void descriptor(std::uint64_t id, State state, std::uint64_t begin, std::uint64_t next) {
    const Gva at = kDescs + id % kCount * 24;
    memory.put<std::uint64_t>(at, id | std::uint64_t{state} << 62);
    memory.put(at + 8, begin);
    memory.put(at + 16, next);
  }

  /// @returns the record's id
  std::uint64_t add(std::string_view text, State state = kFinalized) {
    head = (head + 1) & kIds;
    if (((head - tail) & kIds) >= kCount) tail = (tail + 1) & kIds;
    const std::uint64_t size = (8 + text.size() + 7) / 8 * 8;
    std::uint64_t begin = position;
    std::uint64_t next = begin + size;
    std::uint64_t block = begin % kSize;
    if (text.empty()) {
      begin = next = 3;
    } else if (begin / kSize != (next - 1) / kSize) {
      next = next / kSize * kSize + size;  // whole, at the start
      block = 0;
    }
    if (!text.empty()) {
      memory.put(kData + block, head);
      memory.write(kData + block + 8, bytes_of(text));
      position = next;
    }
    descriptor(head, state, begin, next);
    const Gva info = kInfos + head % kCount * 88;
    memory.put(info, sequence);
    memory.put<std::uint64_t>(info + 8, sequence * 1000);
    memory.put<std::uint16_t>(info + 16, static_cast<std::uint16_t>(text.size()));
    memory.put<std::uint8_t>(info + 18, 1);
    memory.put<std::uint8_t>(info + 19, 6 << 5 | 2);
    memory.put<std::uint32_t>(info + 20, 0x8000'0001);
    memory.text(info + 24, "pci");
    memory.text(info + 40, "+pci:0000:00:01.0");
    ++sequence;
    header();
    return head;
  }

  struct Seen {
    std::vector<LogRecord> records;
    Result<LogReading> reading;
  };
  Seen read() {
    Seen seen;
    seen.reading = read_log(memory, layout, kAt, [&](const LogRecord& record) {
      seen.records.push_back(record);
      return true;
    });
    return seen;
  }
};

std::vector<std::string> texts(const Ring::Seen& seen) {
  std::vector<std::string> all;
  for (const auto& record : seen.records) all.push_back(record.text);
  return all;
}

TEST(KernelLog, AFreshRingIsEmpty) {
  Ring ring;
  const auto seen = ring.read();
  ASSERT_TRUE(seen.reading);
  EXPECT_TRUE(seen.records.empty());
  EXPECT_EQ(seen.reading->lost, 0U);
}

TEST(KernelLog, ARecordHasAllItsParts) {
  Ring ring;
  ring.add(std::string_view("two\nlines\x80", 10));
  const auto seen = ring.read();
  ASSERT_EQ(seen.records.size(), 1U);
  const auto& record = seen.records[0];
  EXPECT_EQ(record.sequence, 0U);
  EXPECT_EQ(record.level, 6);
  EXPECT_EQ(record.facility, 1);
  EXPECT_FALSE(record.continued);
  EXPECT_EQ(record.caller, 0x8000'0001U);
  EXPECT_EQ(record.text, "two\nlines\x80");
  EXPECT_EQ(record.subsystem, "pci");
  EXPECT_EQ(record.device, "+pci:0000:00:01.0");
  EXPECT_STREQ(record.doubt, "");
}

TEST(KernelLog, RingsForgetTheOldestAndWrap) {
  Ring ring;
  for (int i = 0; i < 100; ++i) ring.add(fmt::format("message {}", i));
  const auto seen = ring.read();
  ASSERT_TRUE(seen.reading);
  ASSERT_EQ(seen.records.size(), Ring::kCount);
  for (std::size_t i = 0; i < seen.records.size(); ++i) {
    EXPECT_EQ(seen.records[i].sequence, 92 + i);
    EXPECT_EQ(seen.records[i].text, fmt::format("message {}", 92 + i));
    EXPECT_STREQ(seen.records[i].doubt, "");
  }
  EXPECT_EQ(seen.reading->lost, 0U);
}

// Blocks of 40 bytes do not divide 256: some would cross the end and lie at the start.
TEST(KernelLog, BlocksThatWouldCrossTheEndLieAtTheStart) {
  Ring ring;
  bool crossed = false;
  for (int i = 0; i < 40; ++i) {
    const auto before = ring.position;
    ring.add(fmt::format("thirty-two bytes of text, no {:03}", i));
    crossed |= ring.position - before > 40;
    const auto seen = ring.read();
    ASSERT_FALSE(seen.records.empty());
    EXPECT_EQ(seen.records.back().text, fmt::format("thirty-two bytes of text, no {:03}", i));
    EXPECT_STREQ(seen.records.back().doubt, "");
  }
  EXPECT_TRUE(crossed);
}

// From 6.18 on a block that ends exactly at the end of the ring has `next` there.
TEST(KernelLog, ABlockMayEndExactlyAtTheEnd) {
  Ring ring;
  ring.position = Ring::kSize - 24;
  ring.add("0123456789abcdef");
  EXPECT_EQ(ring.position, Ring::kSize);
  EXPECT_EQ(texts(ring.read()), std::vector<std::string>{"0123456789abcdef"});
}

TEST(KernelLog, EmptyLinesAreRecords) {
  Ring ring;
  ring.add("a");
  ring.add("");
  ring.add("b");
  EXPECT_EQ(texts(ring.read()), (std::vector<std::string>{"a", "", "b"}));
}

TEST(KernelLog, WhatIsBeingWrittenIsPassedAndCounted) {
  Ring ring;
  ring.add("a");
  ring.add("b", kReserved);
  ring.add("c", kCommitted);
  ring.add("d");
  const auto seen = ring.read();
  EXPECT_EQ(texts(seen), (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(seen.reading->unfinished, 2U);
  EXPECT_EQ(seen.reading->lost, 0U);
}

TEST(KernelLog, LostTextIsCounted) {
  Ring ring;
  ring.add("a");
  ring.descriptor(ring.add("b"), kFinalized, 1, 1);  // FAILED_LPOS
  ring.descriptor(ring.add("c"), kReusable, 0, 0);
  ring.add("d");
  const auto seen = ring.read();
  EXPECT_EQ(texts(seen), (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(seen.reading->lost, 2U);
}

TEST(KernelLog, ForgedBlocksAreDoubtedNotFollowed) {
  const std::pair<std::uint64_t, std::uint64_t> forged[] = {
      {0, 0},  {0, 4},    {8, 0},    {0, 0xffff'ffff'ffff'fff8},
      {4, 64}, {0, 1024}, {1024, 0}, {0, Ring::kSize * 2},
      {1, 64}};
  for (const auto& [begin, next] : forged) {
    Ring ring;
    ring.descriptor(ring.add("text"), kFinalized, begin, next);
    const auto seen = ring.read();
    ASSERT_TRUE(seen.reading);
    ASSERT_EQ(seen.records.size(), 1U) << begin << ' ' << next;
    EXPECT_STRNE(seen.records[0].doubt, "") << begin << ' ' << next;
    EXPECT_EQ(seen.records[0].text, "");
  }
}

TEST(KernelLog, ATextIsNoLongerThanItsBlock) {
  Ring ring;
  const auto id = ring.add("short");
  ring.memory.put<std::uint16_t>(Ring::kInfos + id % Ring::kCount * 88 + 16, 0xffff);
  const auto seen = ring.read();
  ASSERT_EQ(seen.records.size(), 1U);
  EXPECT_EQ(seen.records[0].text, std::string_view("short\0\0\0", 8));
}

TEST(KernelLog, ASequenceThatDoesNotFitIsDoubted) {
  Ring ring;
  ring.add("a");
  const auto id = ring.add("b");
  ring.memory.put<std::uint64_t>(Ring::kInfos + id % Ring::kCount * 88, 5);
  EXPECT_STRNE(ring.read().records[1].doubt, "");
}

TEST(KernelLog, SizesAreChecked) {
  for (const std::uint32_t bits : {0U, 28U, 63U, 64U, 0xffff'ffffU}) {
    Ring ring;
    ring.memory.put<std::uint32_t>(Ring::kAt, bits);
    EXPECT_EQ(ring.read().reading.error().code, Errc::malformed) << bits;
  }
  for (const std::uint32_t bits : {0U, 3U, 33U, 64U, 0xffff'ffffU}) {
    Ring ring;
    ring.memory.put<std::uint32_t>(Ring::kAt + 48, bits);
    EXPECT_EQ(ring.read().reading.error().code, Errc::malformed) << bits;
  }
}

TEST(KernelLog, ForgedEndsReadAtMostOneRing) {
  for (const std::uint64_t distance : {std::uint64_t{1} << 40, Ring::kIds}) {
    Ring ring;
    ring.add("a");
    ring.tail = (ring.head - distance) & Ring::kIds;
    ring.header();
    const auto seen = ring.read();
    ASSERT_TRUE(seen.reading);
    EXPECT_EQ(texts(seen), std::vector<std::string>{"a"});
    EXPECT_LT(ring.memory.reads, 100U);
  }
}

// The first read is the ring's. Any other is repeated for one record, then given up for that one.
TEST(KernelLog, AReadThatFailsOnceCostsOneRecordAtMost) {
  Ring ring;
  for (int i = 0; i < 5; ++i) ring.add("message");
  (void)ring.read();
  const auto reads = ring.memory.reads;
  for (std::size_t at = 1; at <= reads; ++at) {
    ring.memory.reads = 0;
    ring.memory.fail_at = at;
    const auto seen = ring.read();
    if (at == 1) {
      EXPECT_EQ(seen.reading.error().code, Errc::not_present);
      continue;
    }
    ASSERT_TRUE(seen.reading) << at;
    EXPECT_EQ(seen.records.size() + seen.reading->unreadable, 5U) << at;
    EXPECT_LE(seen.reading->unreadable, 1U) << at;
    for (const auto& record : seen.records) EXPECT_EQ(record.text, "message");
  }
}

TEST(KernelLog, WhatCannotBeReadIsCounted) {
  Ring ring;
  for (int i = 0; i < 5; ++i) ring.add(i == 2 ? "" : "message");
  ring.memory.unmap(Ring::kData);
  const auto seen = ring.read();
  ASSERT_TRUE(seen.reading);
  EXPECT_EQ(texts(seen), std::vector<std::string>{""});  // it has no text to read
  EXPECT_EQ(seen.reading->unreadable, 4U);
  ASSERT_TRUE(seen.reading->unreadable_why);
  EXPECT_EQ(seen.reading->unreadable_why->address, Ring::kData.value);
}

/// Memory in which a record is overwritten between two reads.
class ChangingMemory final : public VirtualMemory {
 public:
  explicit ChangingMemory(Ring& ring) : ring_(ring) {}
  [[nodiscard]] Result<void> read(Gva from, MutableBytes into) const override {
    if (++reads == change_at) ring_.add("newer");
    return ring_.memory.read(from, into);
  }
  mutable std::size_t reads = 0;
  std::size_t change_at = 0;

 private:
  Ring& ring_;
};

TEST(KernelLog, WhatIsOverwrittenMeanwhileIsNeverMixed) {
  for (std::size_t at = 2; at < 12; ++at) {
    Ring ring;
    for (int i = 0; i < 20; ++i) ring.add(fmt::format("older {}", i));
    ChangingMemory memory(ring);
    memory.change_at = at;
    std::uint64_t before = 0;
    const auto reading = read_log(memory, ring.layout, Ring::kAt, [&](const LogRecord& record) {
      EXPECT_STREQ(record.doubt, "") << at;
      EXPECT_EQ(record.text,
                record.sequence < 20 ? fmt::format("older {}", record.sequence) : "newer")
          << at;
      EXPECT_GT(record.sequence, before);
      before = record.sequence;
      return true;
    });
    ASSERT_TRUE(reading);
    EXPECT_GE(before, 19U);
  }
}

TEST(KernelLog, VmcoreinfoMustTellAll) {
  EXPECT_EQ(LogLayout::parse("").error().code, Errc::not_found);
  std::string text(kVmcoreinfo);
  const auto at = text.find("OFFSET(prb_desc.state_var)");
  text.replace(at, 3, "XXX");
  const auto missing = LogLayout::parse(text);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("OFFSET(prb_desc.state_var)"), std::string::npos);
  std::string huge(kVmcoreinfo);
  huge.replace(huge.find("SIZE(printk_info)=88"), 20, "SIZE(printk_info)=99999");
  EXPECT_EQ(LogLayout::parse(huge).error().code, Errc::implausible);
}

TEST(KernelLog, LevelsAndFacilitiesHaveNames) {
  EXPECT_EQ(log_level_name(0), "emerg");
  EXPECT_EQ(log_level_name(7), "debug");
  EXPECT_EQ(log_facility_name(0), "kern");
  EXPECT_EQ(log_facility_name(1), "user");
  EXPECT_EQ(log_facility_name(23), "local7");
  EXPECT_EQ(log_facility_name(13), "13");
  EXPECT_EQ(log_facility_name(31), "31");
}

}  // namespace
}  // namespace vitrine::linux
