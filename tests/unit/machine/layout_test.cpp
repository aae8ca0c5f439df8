// Where RAM lies without anyone telling: the rules, the check, the search in a process.
#include <gtest/gtest.h>

#include "machine/inferred_ram.h"
#include "machine/memory_layout.h"
#include "machine/process_maps.h"

namespace vitrine {
namespace {

using format::E820Entry;

TEST(PcLayout, TheHoleBeginsWhereQemuPutsIt) {
  // Each as QEMU 10.0.2's `info mtree -f` showed it.
  EXPECT_EQ(ram_below_4g(PcFamily::i440fx, 3 * kGiB), 3 * kGiB);
  EXPECT_EQ(ram_below_4g(PcFamily::i440fx, 0xdfff0000), 0xdfff0000U);
  EXPECT_EQ(ram_below_4g(PcFamily::i440fx, 0xe0000000), 0xc0000000U);
  EXPECT_EQ(ram_below_4g(PcFamily::i440fx, 5 * kGiB), 0xc0000000U);
  EXPECT_EQ(ram_below_4g(PcFamily::i440fx, 2 * kGiB, kGiB), kGiB);
  EXPECT_EQ(ram_below_4g(PcFamily::q35, 0xafff0000), 0xafff0000U);
  EXPECT_EQ(ram_below_4g(PcFamily::q35, 0xb0000000), 0x80000000U);
  EXPECT_EQ(ram_below_4g(PcFamily::q35, 5 * kGiB, kGiB), kGiB);
  EXPECT_EQ(ram_below_4g(PcFamily::microvm, 5 * kGiB), 0xc0000000U);
  const auto layout = pc_layout(PcFamily::q35, 5 * kGiB);
  ASSERT_EQ(layout.segments.size(), 3U);
  EXPECT_EQ(layout.segments[1], (MapSegment{{Gpa{0xc0000}, 0x80000000 - 0xc0000}, 0, 0xc0000}));
  EXPECT_EQ(layout.segments[2], (MapSegment{{Gpa{4 * kGiB}, 3 * kGiB}, 0, 0x80000000}));
}

TEST(PcLayout, FamiliesByName) {
  EXPECT_EQ(pc_family(""), PcFamily::i440fx);
  EXPECT_EQ(pc_family("pc-i440fx-7.2"), PcFamily::i440fx);
  EXPECT_EQ(pc_family("isapc"), PcFamily::i440fx);
  EXPECT_EQ(pc_family("pc-q35-9.0"), PcFamily::q35);
  EXPECT_EQ(pc_family("microvm"), PcFamily::microvm);
  EXPECT_EQ(pc_family("virt"), std::nullopt);
}

const std::vector<E820Entry> kTable = {  // SeaBIOS's, of a q35 with 5 GiB
    {{Gpa{0}, 0x9fc00}, 1},
    {{Gpa{0x9fc00}, 0x400}, 2},
    {{Gpa{0xf0000}, 0x10000}, 2},
    {{Gpa{0x100000}, 0x7fedf000}, 1},
    {{Gpa{0x7ffdf000}, 0x21000}, 2},
    {{Gpa{0xb0000000}, 0x10000000}, 2},
    {{Gpa{0x100000000}, 0xc0000000}, 1}};

TEST(CompareMap, OnlyTheRightLayoutAgrees) {
  const auto agrees = [](const MemoryLayout& layout, std::vector<GpaRange> more = {}) {
    std::vector<GpaRange> ranges;
    for (const auto& segment : layout.segments) ranges.push_back(segment.range);
    ranges.insert(ranges.end(), more.begin(), more.end());
    return compare_map(ranges, kTable).agrees;
  };
  EXPECT_TRUE(agrees(pc_layout(PcFamily::q35, 5 * kGiB)));
  EXPECT_TRUE(agrees(pc_layout(PcFamily::q35, 5 * kGiB), {{Gpa{0x200000000}, kGiB}}));  // a DIMM
  EXPECT_FALSE(agrees(pc_layout(PcFamily::i440fx, 5 * kGiB)));
  EXPECT_FALSE(agrees(pc_layout(PcFamily::q35, 4 * kGiB)));
  EXPECT_FALSE(agrees({"", {{{Gpa{0}, 7 * kGiB}, 0, 0}}}));  // no hole
  EXPECT_FALSE(compare_map(std::vector<GpaRange>{{Gpa{0}, kGiB}}, {}).agrees);
}

TEST(ProcessMaps, Lines) {
  const auto maps = parse_process_maps(
      "7f0000000000-7f0040000000 rw-s 00001000 00:01 1234                       /memfd:a b "
      "(deleted)\n"
      "7f0040000000-7f0040001000 ---p 00000000 00:00 0 \n"
      "nonsense\n7f-7e rw-p 0 0:0 0\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]");
  ASSERT_EQ(maps.size(), 3U);
  EXPECT_EQ(maps[0].path, "/memfd:a b (deleted)");
  EXPECT_TRUE(maps[0].shared && maps[0].readable && maps[0].writable && !maps[0].executable);
  EXPECT_EQ(maps[0].offset, 0x1000U);
  EXPECT_EQ(maps[0].inode, 1234U);
  EXPECT_EQ(maps[2].path, "[vsyscall]");
  EXPECT_EQ(mapping_at(maps, Hva{0x7f0040000fff}), &maps[1]);
  EXPECT_EQ(mapping_at(maps, Hva{0x7f0040001000}), nullptr);
  EXPECT_EQ(mapping_at(maps, Hva{0}), nullptr);
}

/// "START SIZE-IN-MIB PERMISSIONS INODE" a mapping, hexadecimal start.
std::vector<ProcessMapping> maps_of(
    std::initializer_list<std::tuple<std::uint64_t, std::uint64_t, const char*, std::uint64_t>>
        all) {
  std::vector<ProcessMapping> maps;
  for (const auto& [start, size, permissions, inode] : all) {
    maps.push_back({.start = Hva{start},
                    .end = Hva{start + size},
                    .readable = permissions[0] == 'r',
                    .writable = permissions[1] == 'w',
                    .executable = permissions[2] == 'x',
                    .shared = permissions[3] == 's',
                    .inode = inode,
                    .path = inode != 0 ? "/memfd:x (deleted)" : ""});
  }
  return maps;
}

TEST(InferRam, ANeighbourBelowDoesNotHideTheBlock) {
  QemuOptions options;
  options.memory_bytes = kGiB;
  const auto maps = maps_of({{0x10000000, 0x10000, "rw-p", 0},
                             {0x10010000, kGiB, "rw-p", 0},
                             {0x50010000, 0x1000, "---p", 0}});
  const auto readings = infer_ram(options, maps);
  ASSERT_TRUE(readings);
  EXPECT_EQ(readings->front().ranges.front().hva.value, 0x10010000U);
}

TEST(InferRam, ABlockInPiecesIsOne) {
  QemuOptions options;
  options.memory_bytes = kGiB;
  const auto maps = maps_of({{0x10000000, kGiB / 4, "rw-p", 0},
                             {0x20000000, 3 * kGiB / 4, "rw-p", 0},
                             {0x50000000, 0x1000, "---p", 0}});
  const auto readings = infer_ram(options, maps);
  ASSERT_TRUE(readings);
  EXPECT_EQ(readings->front().ranges.front().hva.value, 0x10000000U);
}

TEST(InferRam, TwoOfOneSizeGiveTwoReadings) {
  QemuOptions options;
  options.memory_bytes = kGiB;
  const auto maps = maps_of({{0x10000000, kGiB, "rw-p", 0},
                             {0x50000000, 0x1000, "---p", 0},
                             {0x90000000, kGiB, "rw-s", 7},
                             {0xd0000000, 0x1000, "---p", 0}});
  const auto readings = infer_ram(options, maps);
  ASSERT_TRUE(readings);
  ASSERT_EQ(readings->size(), 4U);  // two places, with and without a VGA window
  EXPECT_EQ(readings->front().ranges.front().hva.value,
            0x10000000U);  // the command line names no file
}

TEST(InferRam, NothingOfThatSize) {
  QemuOptions options;
  options.memory_bytes = kGiB;
  const auto readings = infer_ram(options, maps_of({{0x10000000, 0x100000, "rw-p", 0}}));
  ASSERT_FALSE(readings);
  EXPECT_EQ(readings.error().code, Errc::not_found);
}

TEST(InferRam, NodesAreOneAfterTheOther) {
  QemuOptions options;
  options.memory_bytes = 2 * kGiB;
  options.backends = {{"a", "memfd", kGiB, true, ""}, {"b", "ram", kGiB, std::nullopt, ""}};
  options.numa_backends = {"a", "b"};
  options.machine_type = "q35";
  const auto maps = maps_of({{0x10000000, kGiB, "rw-p", 0},
                             {0x50000000, 0x1000, "---p", 0},
                             {0x90000000, kGiB, "rw-s", 7},
                             {0xd0000000, 0x1000, "---p", 0}});
  const auto readings = infer_ram(options, maps);
  ASSERT_TRUE(readings);
  const auto& ranges = readings->front().ranges;
  ASSERT_EQ(ranges.size(), 3U);
  EXPECT_EQ(ranges[0].hva.value, 0x90000000U);
  EXPECT_EQ(ranges[2], (HostRange{{Gpa{kGiB}, kGiB}, Hva{0x10000000}, "b"}));
}

TEST(InferRam, TwoDimmsOfOneSizeHaveAPlaceEach) {
  QemuOptions options;
  options.memory_bytes = kGiB;
  options.machine_type = "q35";
  options.backends = {{"d0", "ram", kGiB / 2, std::nullopt, ""},
                      {"d1", "ram", kGiB / 2, std::nullopt, ""}};
  options.dimms = {{"", "d0", std::nullopt}, {"", "d1", std::nullopt}};
  const auto maps = maps_of({{0x10000000, kGiB, "rw-p", 0},
                             {0x50000000, 0x1000, "---p", 0},
                             {0x60000000, kGiB / 2, "rw-p", 0},
                             {0x80000000, 0x1000, "---p", 0},
                             {0x90000000, kGiB / 2, "rw-p", 0},
                             {0xb0000000, 0x1000, "---p", 0}});
  const auto readings = infer_ram(options, maps);
  ASSERT_TRUE(readings);
  const auto& ranges = readings->front().ranges;
  ASSERT_GE(ranges.size(), 3U);
  EXPECT_NE(ranges[ranges.size() - 1].hva, ranges[ranges.size() - 2].hva);
}

}  // namespace
}  // namespace vitrine
