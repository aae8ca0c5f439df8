// The sources against plain bytes: files we made, and our own process as the other one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <random>

#include "memory/joined_memory.h"
#include "memory/process_memory.h"
#include "memory/shared_mapping.h"
#include "support/counted_memory.h"
#include "support/failing_memory.h"

namespace vitrine {
namespace {

std::vector<std::byte> random_bytes(std::size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// A memfd with data at some pages and holes elsewhere.
struct TestFile {
  explicit TestFile(std::uint64_t size) : descriptor(::memfd_create("vitrine-test", 0)) {
    EXPECT_EQ(::ftruncate(descriptor.get(), static_cast<off_t>(size)), 0);
  }
  void write(std::uint64_t at, Bytes bytes) const {
    ASSERT_EQ(::pwrite(descriptor.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
  }
  [[nodiscard]] FileDescriptor open() const {
    auto file = open_for_reading("/proc/self/fd/" + std::to_string(descriptor.get()));
    EXPECT_TRUE(file);
    return std::move(*file);
  }
  FileDescriptor descriptor;
};

std::unique_ptr<SharedMapping> map_file(const TestFile& file, std::vector<MapSegment> segments) {
  std::vector<FileDescriptor> files;
  files.push_back(file.open());
  auto memory = SharedMapping::create(std::move(files), *MemoryMap::create(std::move(segments)));
  EXPECT_TRUE(memory);
  return memory ? std::move(*memory) : nullptr;
}

TEST(SharedMapping, ReadsAcrossSegmentsAndSeesChanges) {
  const TestFile file(0x10000);
  const auto bytes = random_bytes(0x10000);
  file.write(0, bytes);
  const auto memory =
      map_file(file, {{{Gpa{0x100000}, 0x4000}, 0, 0x4000}, {{Gpa{0x104000}, 0x4000}, 0, 0}});
  std::vector<std::byte> got(0x2000);
  ASSERT_TRUE(memory->read(Gpa{0x103000}, got));
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + 0x1000, bytes.begin() + 0x7000));
  EXPECT_TRUE(std::equal(got.begin() + 0x1000, got.end(), bytes.begin()));
  EXPECT_EQ(memory->read(Gpa{0x107fff}, got).error().code, Errc::outside_ram);
  EXPECT_EQ(memory->window(Gpa{0x100000}, 0x4000).size(), 0x4000U);
  EXPECT_TRUE(memory->window(Gpa{0x103fff}, 2).empty());
  file.write(0x4000, Bytes(bytes).subspan(0, 8));
  EXPECT_EQ(*memory->load<std::uint64_t>(Gpa{0x100000}), *load<std::uint64_t>(bytes, 0));
}

TEST(SharedMapping, CannotBeMadeBeyondItsFile) {
  const TestFile file(0x1000);
  std::vector<FileDescriptor> files;
  files.push_back(file.open());
  const auto memory =
      SharedMapping::create(std::move(files), *MemoryMap::create({{{Gpa{0}, 0x1001}, 0, 0}}));
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, Errc::out_of_bounds);
  EXPECT_EQ(SharedMapping::create({}, *MemoryMap::create({{{Gpa{0}, 1}, 3, 0}})).error().code,
            Errc::out_of_bounds);
}

TEST(SharedMapping, AFileThatShrinksIsVanishedAndNotOurEnd) {
  const TestFile file(0x10000);
  file.write(0, random_bytes(0x10000));
  const auto memory = map_file(file, {{{Gpa{0}, 0x10000}, 0, 0}});
  const auto other = map_file(file, {{{Gpa{0}, 0x2000}, 0, 0}});
  EXPECT_TRUE(memory->intact());
  ASSERT_EQ(::ftruncate(file.descriptor.get(), 0x2000), 0);
  EXPECT_FALSE(memory->intact());
  EXPECT_TRUE(memory->load<std::uint64_t>(Gpa{0x1000}));  // still there
  const auto lost = memory->load<std::uint64_t>(Gpa{0x8000});
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::vanished);
  EXPECT_EQ(memory->load<std::uint64_t>(Gpa{0x1000}).error().code,
            Errc::vanished);  // nothing of it is trusted now
  EXPECT_TRUE(memory->window(Gpa{0}, 8).empty());
  EXPECT_TRUE(other->load<std::uint64_t>(Gpa{0x1000}));  // another mapping is another matter
}

TEST(SharedMapping, AViewThatSomebodyHoldsSurvivesTheFile) {
  const TestFile file(0x4000);
  file.write(0, random_bytes(0x4000));
  const auto memory = map_file(file, {{{Gpa{0}, 0x4000}, 0, 0}});
  const auto window = memory->window(Gpa{0}, 0x4000);
  ASSERT_EQ(::ftruncate(file.descriptor.get(), 0), 0);
  unsigned sum = 0;
  for (const auto byte : window) sum += static_cast<unsigned>(byte);
  EXPECT_EQ(sum, 0U);
  EXPECT_FALSE(memory->intact());
}

TEST(SharedMapping, PopulatedStretchesAreTheFilesDataAndNothingIsTouched) {
  const TestFile file(0x100000);
  file.write(0x3000, random_bytes(0x1000));
  file.write(0x80000, random_bytes(0x2800));
  const auto memory =
      map_file(file, {{{Gpa{0x1000000}, 0x80000}, 0, 0x80000}, {{Gpa{0}, 0x80000}, 0, 0}});
  std::vector<GpaRange> found;
  for (auto one = memory->next_populated(Gpa{0}); one; one = memory->next_populated(one->end()))
    found.push_back(*one);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0], (GpaRange{Gpa{0x3000}, 0x1000}));
  EXPECT_EQ(found[1], (GpaRange{Gpa{0x1000000}, 0x3000}));
  EXPECT_EQ(*memory->next_populated(Gpa{0x3800}), (GpaRange{Gpa{0x3000}, 0x1000}));
}

TEST(SharedMapping, TheFileIsOpenedForReadingOnly) {
  const TestFile file(0x1000);
  const auto ours = file.open();
  EXPECT_EQ(::fcntl(ours.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(::mmap(nullptr, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, ours.get(), 0), MAP_FAILED);
}

class OwnMemory : public testing::Test {
 protected:
  static constexpr std::size_t kSize = 0x100000;
  void SetUp() override {
    pages_ = static_cast<std::byte*>(
        ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(pages_, MAP_FAILED);
    ::madvise(pages_, kSize, MADV_NOHUGEPAGE);
  }
  void TearDown() override { ::munmap(pages_, kSize); }
  [[nodiscard]] std::uint64_t at(std::size_t offset) const {
    return reinterpret_cast<std::uint64_t>(pages_ + offset);
  }
  [[nodiscard]] Result<std::unique_ptr<ProcessMemory>> open(
      std::vector<MapSegment> segments) const {
    return ProcessMemory::create(::getpid(), *MemoryMap::create(std::move(segments)));
  }
  std::byte* pages_ = nullptr;
};

TEST_F(OwnMemory, ReadsPiecesAndBatches) {
  const auto bytes = random_bytes(0x8000);
  std::ranges::copy(bytes, pages_);
  const auto memory = open({{{Gpa{0}, 0x4000}, 0, at(0x4000)}, {{Gpa{0x4000}, 0x4000}, 0, at(0)}});
  ASSERT_TRUE(memory);
  std::vector<std::byte> got(0x1000);
  ASSERT_TRUE((*memory)->read(Gpa{0x3800}, got));
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + 0x800, bytes.begin() + 0x7800));
  EXPECT_TRUE(std::equal(got.begin() + 0x800, got.end(), bytes.begin()));

  std::vector<std::uint64_t> values(5000);
  std::vector<BatchRead> batch;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Gpa from{i % 10 == 3 ? 0x9000
                               : i * 7919 % 0x7ff8};  // each tenth in a hole; some across segments
    batch.push_back({from, writable_bytes_of(values[i])});
  }
  EXPECT_EQ((*memory)->read_batch(batch), 4500U);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(batch[i].ok, i % 10 != 3) << i;
    if (batch[i].ok) {
      ASSERT_EQ(values[i], *(*memory)->load<std::uint64_t>(batch[i].from)) << i;
    }
  }
}

TEST_F(OwnMemory, AnUnmappedPageFailsAloneInABatch) {
  pages_[0] = std::byte{1};
  const auto memory = open({{{Gpa{0}, kSize}, 0, at(0)}});
  ASSERT_TRUE(memory);
  ASSERT_EQ(::munmap(pages_ + 0x2000, 0x1000), 0);
  std::vector<std::uint64_t> values(6);
  std::vector<BatchRead> batch;
  for (std::size_t i = 0; i < values.size(); ++i)
    batch.push_back({Gpa{i * 0x1000}, writable_bytes_of(values[i])});
  EXPECT_EQ((*memory)->read_batch(batch), 5U);
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(batch[i].ok, i != 2);
  const auto single = (*memory)->load<std::uint64_t>(Gpa{0x2000});
  ASSERT_FALSE(single);
  EXPECT_EQ(single.error().code, Errc::io);
  EXPECT_EQ(single.error().address, 0x2000U);
}

TEST_F(OwnMemory, UntouchedPagesAreSkippedAndStayUntouched) {
  pages_[0x5000] = std::byte{1};
  pages_[0x6000] = std::byte{1};
  pages_[0x40000] = std::byte{1};
  const auto memory = open({{{Gpa{0x100000}, kSize - 0x5000}, 0, at(0x5000)}});
  ASSERT_TRUE(memory);
  for (int twice = 0; twice < 2; ++twice) {
    std::vector<GpaRange> found;
    for (auto one = (*memory)->next_populated(Gpa{0}); one;
         one = (*memory)->next_populated(one->end()))
      found.push_back(*one);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0], (GpaRange{Gpa{0x100000}, 0x2000}));
    EXPECT_EQ(found[1], (GpaRange{Gpa{0x100000 + 0x3b000}, 0x1000}));
  }
}

TEST(ProcessMemory, AProcessThatEndedIsVanished) {
  static std::uint64_t value = 7;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    (void)!::read(ready[0], &byte, 1);
    ::_exit(0);
  }
  const auto map = MemoryMap::create({{{Gpa{0}, 8}, 0, reinterpret_cast<std::uint64_t>(&value)}});
  const auto memory = ProcessMemory::create(child, *map);
  ASSERT_TRUE(memory);
  EXPECT_EQ(*(*memory)->load<std::uint64_t>(Gpa{0}), 7U);
  EXPECT_TRUE((*memory)->alive());
  ASSERT_EQ(::write(ready[1], "x", 1), 1);
  while ((*memory)->alive()) ::usleep(1000);
  EXPECT_EQ((*memory)->load<std::uint64_t>(Gpa{0}).error().code, Errc::vanished);  // a zombie still
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ((*memory)->load<std::uint64_t>(Gpa{0}).error().code, Errc::vanished);
  BatchRead one{Gpa{0}, writable_bytes_of(value)};
  EXPECT_EQ((*memory)->read_batch({&one, 1}), 0U);
  EXPECT_EQ(ProcessMemory::create(child, *map).error().code, Errc::vanished);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(JoinedMemory, EachPartServesItsOwn) {
  const TestFile low(0x4000);
  const TestFile high(0x4000);
  const auto a = random_bytes(0x4000);
  const auto b = random_bytes(0x3fff);
  low.write(0, a);
  high.write(0, b);
  std::vector<std::unique_ptr<PhysicalMemory>> parts;
  parts.push_back(map_file(low, {{{Gpa{0}, 0x2000}, 0, 0}, {{Gpa{0x100000}, 0x2000}, 0, 0x2000}}));
  parts.push_back(map_file(high, {{{Gpa{0x2000}, 0x4000}, 0, 0}}));
  const auto memory = JoinedMemory::create(std::move(parts));
  ASSERT_TRUE(memory);
  EXPECT_EQ((*memory)->size_bytes(), 0x8000U);
  std::vector<std::byte> got(0x2000);
  ASSERT_TRUE((*memory)->read(Gpa{0x1000}, got));  // across the parts
  EXPECT_TRUE(std::equal(got.begin(), got.begin() + 0x1000, a.begin() + 0x1000));
  EXPECT_TRUE(std::equal(got.begin() + 0x1000, got.end(), b.begin()));
  EXPECT_EQ((*memory)->read(Gpa{0x5000}, got).error().address, 0x6000U);
  std::array<std::uint64_t, 4> values{};
  std::vector<BatchRead> batch = {{Gpa{0x1ffc}, writable_bytes_of(values[0])},
                                  {Gpa{0x100000}, writable_bytes_of(values[1])},
                                  {Gpa{0x2000}, writable_bytes_of(values[2])},
                                  {Gpa{0x8000}, writable_bytes_of(values[3])}};
  EXPECT_EQ((*memory)->read_batch(batch), 3U);
  EXPECT_EQ(values[1], *load<std::uint64_t>(a, 0x2000));
  EXPECT_EQ(values[2], *load<std::uint64_t>(b, 0));
  std::uint64_t populated = 0;
  Gpa last{0};
  for (auto one = (*memory)->next_populated(Gpa{0}); one;
       one = (*memory)->next_populated(one->end())) {
    EXPECT_GE(one->start, last);
    last = one->end();
    populated += one->size;
  }
  EXPECT_EQ(populated, 0x8000U);
}

TEST(JoinedMemory, PartsMustNotOverlap) {
  const TestFile file(0x4000);
  std::vector<std::unique_ptr<PhysicalMemory>> parts;
  parts.push_back(map_file(file, {{{Gpa{0}, 0x2000}, 0, 0}}));
  parts.push_back(map_file(file, {{{Gpa{0x1000}, 0x2000}, 0, 0}}));
  EXPECT_EQ(JoinedMemory::create(std::move(parts)).error().code, Errc::malformed);
}

TEST(Wrappers, CountAndFail) {
  const TestFile file(0x4000);
  const auto inner = map_file(file, {{{Gpa{0}, 0x4000}, 0, 0}});
  const CountedMemory counted(*inner);
  (void)counted.load<std::uint64_t>(Gpa{0});
  std::uint64_t value = 0;
  std::vector<BatchRead> batch(3, {Gpa{8}, writable_bytes_of(value)});
  EXPECT_EQ(counted.read_batch(batch), 3U);
  EXPECT_EQ(counted.reads(), 4U);
  EXPECT_EQ(counted.trips(), 2U);
  EXPECT_EQ(counted.bytes(), 32U);

  // A sweep: two reads of work fail twice and then succeed.
  int rounds = 0;
  for (std::uint64_t fail_at = 0;; ++fail_at, ++rounds) {
    const FailingMemory failing(*inner, fail_at);
    const bool done = failing.load<std::uint64_t>(Gpa{0}).has_value() &&
                      failing.load<std::uint64_t>(Gpa{8}).has_value();
    EXPECT_EQ(done, !failing.failed());
    if (done) break;
  }
  EXPECT_EQ(rounds, 2);
}

}  // namespace
}  // namespace vitrine
