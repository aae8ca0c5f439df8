// ELF cores, LiME, e820 and magics, built byte by byte.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "format/e820.h"
#include "format/elf.h"
#include "format/flattened.h"
#include "format/image_kind.h"
#include "format/lime.h"

namespace vitrine::format {
namespace {

class Builder {
 public:
  template <class T>
  Builder& put(std::size_t at, T value) {
    if (bytes_.size() < at + sizeof value) bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    return *this;
  }
  Builder& text(std::size_t at, std::string_view words) {
    if (bytes_.size() < at + words.size()) bytes_.resize(at + words.size());
    std::memcpy(bytes_.data() + at, words.data(), words.size());
    return *this;
  }
  Builder& grow(std::size_t size) {
    if (bytes_.size() < size) bytes_.resize(size);
    return *this;
  }
  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

struct Header {
  std::uint32_t type;
  std::uint64_t offset, physical, file_size, memory_size;
};

Builder elf64(const std::vector<Header>& headers, bool count_elsewhere = false) {
  Builder file;
  file.text(0,
            "\x7f"
            "ELF\x02\x01\x01")
      .put<std::uint16_t>(16, kElfCore)
      .put<std::uint16_t>(18, kElfMachineX86_64);
  file.put<std::uint64_t>(32, 192).put<std::uint64_t>(40, 64).put<std::uint16_t>(54, 56);
  file.put<std::uint16_t>(56,
                          count_elsewhere ? 0xffff : static_cast<std::uint16_t>(headers.size()));
  file.put<std::uint32_t>(64 + 44, static_cast<std::uint32_t>(headers.size()));
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const auto at = 192 + i * 56;
    file.put(at, headers[i].type).put(at + 8, headers[i].offset).put(at + 24, headers[i].physical);
    file.put(at + 32, headers[i].file_size)
        .put(at + 40, headers[i].memory_size)
        .put<std::uint64_t>(at + 48, 0);
  }
  return file;
}

TEST(Elf, LoadsAndNotesOfACore) {
  for (const bool elsewhere : {false, true}) {
    const auto file =
        elf64({{4, 0x400, 0, 0x40, 0x40}, {1, 0x1000, 0x100000, 0x2000, 0x3000}}, elsewhere);
    const auto elf = parse_elf(file.bytes());
    ASSERT_TRUE(elf);
    EXPECT_EQ(elf->type, kElfCore);
    ASSERT_EQ(elf->loads.size(), 1U);
    EXPECT_EQ(elf->loads[0], (ElfLoad{0x1000, 0x2000, 0x3000, Gpa{0x100000}, {}}));
    ASSERT_EQ(elf->notes.size(), 1U);
    const auto ranges = elf_ranges(*elf, 0x2800);
    ASSERT_EQ(ranges.ranges.size(), 1U);
    EXPECT_EQ(ranges.ranges[0], (ElfRange{{Gpa{0x100000}, 0x1800}, 0x1000}));
    EXPECT_EQ(ranges.missing_bytes, 0x800U);
    EXPECT_EQ(ranges.left_out_bytes, 0x1000U);
  }
}

TEST(Elf, TruncatedAtEveryByteItSaysSo) {
  const auto file = elf64({{1, 0x1000, 0, 0x1000, 0x1000}});
  for (std::size_t cut = 0; cut < file.bytes().size(); ++cut) {
    EXPECT_FALSE(parse_elf(file.bytes().first(cut))) << cut;
  }
}

ElfFile with_loads(std::vector<ElfLoad> loads) {
  ElfFile elf;
  elf.loads = std::move(loads);
  return elf;
}

TEST(Elf, WithPagingManyLoadsShareOnePage) {
  // As QEMU writes them: kernel text, direct map and user pages over the same memory.
  const auto ranges = elf_ranges(
      with_loads({{0x1000 + 0x5000, 0x2000, 0x2000, Gpa{0x5000}, Gva{0xffffffff81000000}},
                  {0x1000, 0x10000, 0x10000, Gpa{0}, Gva{0xffff888000000000}},
                  {0x1000 + 0x6000, 0x1000, 0x1000, Gpa{0x6000}, Gva{0x400000}}}),
      UINT64_MAX);
  ASSERT_EQ(ranges.ranges.size(), 1U);
  EXPECT_EQ(ranges.ranges[0], (ElfRange{{Gpa{0}, 0x10000}, 0x1000}));
  EXPECT_FALSE(ranges.contradictory);
}

TEST(Elf, OfContradictingLoadsTheFirstCounts) {
  const auto ranges = elf_ranges(with_loads({{0x9000, 0x1000, 0x1000, Gpa{0x1000}, {}},
                                             {0x20000, 0x4000, 0x4000, Gpa{0}, {}}}),
                                 UINT64_MAX);
  EXPECT_TRUE(ranges.contradictory);
  ASSERT_EQ(ranges.ranges.size(), 3U);
  EXPECT_EQ(ranges.ranges[1], (ElfRange{{Gpa{0x1000}, 0x1000}, 0x9000}));
}

TEST(Elf, RangesEqualAPageByPageTruth) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    ElfFile elf;
    std::vector<std::uint64_t> truth(64, 0);  // file offset of each page; 0: none
    for (int i = 0; i < 12; ++i) {
      const auto start = random() % 60;
      const auto pages = random() % 4 + 1;
      const auto offset = (random() % 3 + 1) * 0x100000 + start * kPageSize;
      elf.loads.push_back(
          {offset, pages * kPageSize, pages * kPageSize, Gpa{start * kPageSize}, {}});
      for (std::uint64_t page = start; page < start + pages; ++page) {
        if (truth[page] == 0) truth[page] = offset + (page - start) * kPageSize;
      }
    }
    std::vector<std::uint64_t> got(64, 0);
    for (const auto& one : elf_ranges(elf, UINT64_MAX).ranges) {
      for (std::uint64_t at = 0; at < one.range.size; at += kPageSize) {
        auto& page = got.at((one.range.start.value + at) / kPageSize);
        EXPECT_EQ(page, 0U);
        page = one.file_offset + at;
      }
    }
    ASSERT_EQ(got, truth) << round;
  }
}

TEST(Elf, WhatADumpWithPagingDoesNotNameIsFoundBetweenItsNeighbours) {
  // Two blocks in the file, 0x1000 on: [0, 4 MiB) and [4 GiB, 4 GiB + 2 MiB). The page
  // tables map a part of each.
  const auto low = [](std::uint64_t gpa, std::uint64_t size) {
    return ElfLoad{0x1000 + gpa, size, size, Gpa{gpa}, {}};
  };
  const auto high = [](std::uint64_t at, std::uint64_t size) {
    return ElfLoad{0x1000 + 4 * kMiB + at, size, size, Gpa{4 * kGiB + at}, {}};
  };
  const auto file_size = 0x1000 + 6 * kMiB;
  const auto add = [&](std::vector<ElfLoad> loads) {
    const auto elf = with_loads(std::move(loads));
    auto ranges = elf_ranges(elf, file_size);
    const auto before = ranges.ranges;
    const auto added = add_unnamed_ranges(ranges, elf, file_size);
    std::uint64_t grown = 0;
    for (const auto& one : ranges.ranges) grown += one.range.size;
    for (const auto& one : before) grown -= one.range.size;
    EXPECT_EQ(grown, added);
    return ranges.ranges;
  };
  auto ranges =
      add({low(0x2000, 0x1000), low(0x10000, 0x8000), high(0, 0x1000), high(0x9000, 0x2000)});
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0], (ElfRange{{Gpa{0x2000}, 4 * kMiB - 0x2000}, 0x3000}));
  EXPECT_EQ(ranges[1], (ElfRange{{Gpa{4 * kGiB}, 2 * kMiB}, 0x1000 + 4 * kMiB}));

  // Where the next block's beginning is not known, its bytes are nobody's.
  ranges = add({low(0, 0x1000), high(0x9000, 0x2000)});
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].range.size, 0x1000U);
  // A whole dump gains nothing.
  ranges = add({low(0, 4 * kMiB), high(0, 2 * kMiB)});
  EXPECT_EQ(ranges[0].range.size + ranges[1].range.size, 6 * kMiB);
}

TEST(Elf, DeviceMemoryThatFollowsInTheFileIsNotTakenForRam) {
  // [0, 16 MiB) of RAM and 4 MiB of something else behind it, unnamed.
  const auto elf = with_loads({{0x1000, 8 * kMiB, 8 * kMiB, Gpa{0}, {}}});
  auto ranges = elf_ranges(elf, 0x1000 + 20 * kMiB);
  EXPECT_EQ(add_unnamed_ranges(ranges, elf, 0x1000 + 20 * kMiB), 8 * kMiB);
  // Unless a LOAD was cut at its block's end and says itself how far it goes.
  const auto cut = with_loads({{0x1000, 8 * kMiB, 20 * kMiB, Gpa{0}, {}}});
  ranges = elf_ranges(cut, 0x1000 + 20 * kMiB);
  EXPECT_EQ(add_unnamed_ranges(ranges, cut, 0x1000 + 20 * kMiB), 12 * kMiB);
}

TEST(Elf, HostileLoadsStayInBounds) {
  const auto ranges =
      elf_ranges(with_loads({{UINT64_MAX - 5, UINT64_MAX, UINT64_MAX, Gpa{0}, {}},
                             {0, UINT64_MAX, UINT64_MAX, Gpa{(1ULL << 52) - 4096}, {}},
                             {0, 4096, 4096, Gpa{UINT64_MAX}, {}}}),
                 1 << 20);
  for (const auto& one : ranges.ranges) {
    EXPECT_LE(one.file_offset + one.range.size, 1U << 20);
    EXPECT_LE(one.range.end().value, 1ULL << 52);
  }
}

TEST(ElfNotes, AreViewsUntilOneBreaks) {
  Builder segment;
  segment.put<std::uint32_t>(0, 5)
      .put<std::uint32_t>(4, 3)
      .put<std::uint32_t>(8, 1)
      .text(12, "CORE")
      .text(20, "abc");
  segment.put<std::uint32_t>(24, 5)
      .put<std::uint32_t>(28, 8)
      .put<std::uint32_t>(32, 0)
      .text(36, "QEMU")
      .text(44, "12345678");
  segment.put<std::uint32_t>(52, 5).put<std::uint32_t>(56, 0xfffffff0).put<std::uint32_t>(60, 0);
  const auto notes = parse_elf_notes(segment.bytes());
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[0].name, "CORE");
  EXPECT_EQ(notes[0].descriptor.size(), 3U);
  EXPECT_EQ(notes[1].name, "QEMU");
}

TEST(QemuNote, FieldsInTheirPlaces) {
  Builder note;
  note.put<std::uint32_t>(0, 1).put<std::uint32_t>(4, 440);
  for (std::size_t i = 0; i < 18; ++i) note.put<std::uint64_t>(8 + i * 8, 0x1000 + i);
  for (std::size_t i = 0; i < 10; ++i) {
    const auto at = 152 + i * 24;
    note.put(at, static_cast<std::uint32_t>(i))
        .put<std::uint32_t>(at + 4, 0xffff)
        .put<std::uint64_t>(at + 16, 0x2000 + i);
  }
  for (std::size_t i = 0; i < 5; ++i) note.put<std::uint64_t>(392 + i * 8, 0x3000 + i);
  note.put<std::uint64_t>(432, 0x4000);
  const auto state = parse_qemu_cpu_state(note.bytes());
  ASSERT_TRUE(state);
  EXPECT_EQ(state->rax, 0x1000U);
  EXPECT_EQ(state->rsp, 0x1006U);  // rsi, rdi, rsp, rbp is the note's order
  EXPECT_EQ(state->rbp, 0x1007U);
  EXPECT_EQ(state->r8_to_r15[7], 0x100fU);
  EXPECT_EQ(state->rip, 0x1010U);
  EXPECT_EQ(state->cs.base, 0x2000U);
  EXPECT_EQ(state->ss.base, 0x2005U);
  EXPECT_EQ(state->idt.base, 0x2009U);
  EXPECT_EQ(state->cr[3], 0x3003U);
  EXPECT_EQ(state->kernel_gs_base, 0x4000U);
  note.put<std::uint32_t>(4, 432);
  EXPECT_FALSE(parse_qemu_cpu_state(note.bytes())->kernel_gs_base);
  EXPECT_EQ(parse_qemu_cpu_state(note.bytes().first(400)).error().code, Errc::malformed);
  note.put<std::uint32_t>(0, 2);
  EXPECT_EQ(parse_qemu_cpu_state(note.bytes()).error().code, Errc::unsupported);
}

Builder lime(std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> ranges) {
  Builder file;
  std::size_t at = 0;
  for (const auto& [first, last] : ranges) {
    file.put<std::uint32_t>(at, kLimeMagic)
        .put<std::uint32_t>(at + 4, 1)
        .put(at + 8, first)
        .put(at + 16, last)
        .put<std::uint64_t>(at + 24, 0);
    at += 32 + (last - first + 1);
    file.grow(at);
  }
  return file;
}

TEST(Lime, RangesAndACutEnd) {
  const auto file = lime({{0x1000, 0x1fff}, {0x100000, 0x100fff}});
  const auto whole = parse_lime(file.bytes());
  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->ranges.size(), 2U);
  EXPECT_EQ(whole->ranges[1], (LimeRange{{Gpa{0x100000}, 0x1000}, 0x1040}));
  const auto cut = parse_lime(file.bytes().first(0x1900));
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->ranges[1].range.size, 0x8c0U);
  EXPECT_EQ(cut->missing_bytes, 0x740U);
}

TEST(Lime, BrokenHeaders) {
  EXPECT_EQ(parse_lime({}).error().code, Errc::malformed);
  EXPECT_EQ(parse_lime(Builder().put<std::uint32_t>(0, kLimeMagic).bytes()).error().code,
            Errc::malformed);
  auto file = lime({{0x1000, 0x1fff}});
  file.put<std::uint64_t>(16, 0xfff);
  EXPECT_EQ(parse_lime(file.bytes()).error().code, Errc::malformed);
  file.put<std::uint64_t>(8, 0).put<std::uint64_t>(16, UINT64_MAX);
  EXPECT_EQ(parse_lime(file.bytes()).error().code, Errc::malformed);
  file.put<std::uint32_t>(4, 2);
  EXPECT_EQ(parse_lime(file.bytes()).error().code, Errc::unsupported);
  auto stray = lime({{0x1000, 0x1fff}});
  stray.grow(0x1020 + 100);
  EXPECT_EQ(parse_lime(stray.bytes())->stray_bytes, 100U);
}

TEST(E820, IsFoundAmongOtherThings) {
  Builder low;
  low.grow(0x10000);
  const auto put = [&](std::size_t at, std::uint64_t start, std::uint64_t size,
                       std::uint32_t type) {
    low.put(at, start).put(at + 8, size).put(at + 16, type);
  };
  put(0x100, 0, 0x9fc00, 1);  // looks like one, but nothing follows
  put(0x5c0, 0, 0x9fc00, 1);
  put(0x5c0 + 20, 0x9fc00, 0x400, 2);
  put(0x5c0 + 40, 0x100000, 0x7fedf000, 1);
  put(0x5c0 + 60, 0xfd00000000, 0x300000000, 2);
  const auto found = find_e820(low.bytes());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->offset, 0x5c0U);
  EXPECT_EQ(found->entries.size(), 4U);
  EXPECT_EQ(parse_e820(low.bytes(), 0x5c0, 4), found->entries);
  EXPECT_FALSE(parse_e820(low.bytes(), 0x5c0, 5));
  EXPECT_FALSE(parse_e820(low.bytes(), 0xfff0, 1));
  EXPECT_FALSE(find_e820({}));
}

TEST(ImageKind, ByItsFirstBytes) {
  EXPECT_EQ(guess_image(bytes_of("\x7f"
                                 "ELF"))
                .kind,
            ImageKind::elf);
  EXPECT_EQ(guess_image(bytes_of("EMiL")).kind, ImageKind::lime);
  EXPECT_EQ(guess_image(bytes_of("KDUMP   ")).kind, ImageKind::kdump);
  EXPECT_EQ(guess_image(bytes_of(kFlattenedMagic)).kind, ImageKind::kdump);
  EXPECT_EQ(guess_image(bytes_of("AVML")).kind, ImageKind::avml);
  EXPECT_EQ(guess_image(bytes_of("DISKDUMP")).kind, ImageKind::other);
  EXPECT_FALSE(guess_image(bytes_of("QFI\xfb")).advice.empty());
  EXPECT_EQ(guess_image({}).kind, ImageKind::raw);
  EXPECT_EQ(guess_image(bytes_of("S\xff\0\xf0")).kind, ImageKind::raw);
}

}  // namespace
}  // namespace vitrine::format
