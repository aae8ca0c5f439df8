// Whether a process executes its program and nothing else. This process has the text mapped, and is
// read by its own /proc; what it says of its mappings is written by the test.
#include "fvm/super/process_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstring>

using namespace vitrine;
using namespace vitrine::fvm;

namespace {

constexpr std::size_t kSize = 16 * 4096;

class ProcessTextTest : public testing::Test {
 protected:
  ProcessTextTest() {
    for (std::size_t i = 0; i < program_.size(); ++i) program_[i] = static_cast<std::byte>(i * 11);
    FileDescriptor file(::memfd_create("program", MFD_CLOEXEC));
    EXPECT_EQ(::write(file.get(), program_.data(), program_.size()),
              static_cast<ssize_t>(program_.size()));
    text_ = static_cast<std::byte*>(
        ::mmap(nullptr, kSize, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.get(), 0));
    struct stat status{};
    EXPECT_EQ(::fstat(file.get(), &status), 0);
    place_ = {reinterpret_cast<std::uint64_t>(text_), 0, program_, status.st_dev, status.st_ino};
    process_.memory = FileDescriptor(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
    process_.pagemap = FileDescriptor(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    say(line());
    for (std::size_t at = 0; at < kSize; at += 4096)
      (void)*static_cast<volatile std::byte*>(text_ + at);  // it is run
  }
  ~ProcessTextTest() override { ::munmap(text_, kSize); }

  [[nodiscard]] std::string line() const {
    return fmt::format("{:x}-{:x} r-xp 00000000 {:02x}:{:02x} {} /memfd:program (deleted)\n",
                       place_.start, place_.start + kSize, major(place_.device),
                       minor(place_.device), place_.inode);
  }
  void say(const std::string& maps) {
    process_.maps = FileDescriptor(::memfd_create("maps", MFD_CLOEXEC));
    EXPECT_EQ(::write(process_.maps.get(), maps.data(), maps.size()),
              static_cast<ssize_t>(maps.size()));
  }
  void write(std::size_t at, std::byte byte) {
    ASSERT_EQ(::mprotect(text_, kSize, PROT_READ | PROT_WRITE), 0);
    text_[at] = byte;
    ASSERT_EQ(::mprotect(text_, kSize, PROT_READ | PROT_EXEC), 0);
  }
  TextState look() { return look_at_text(process_, place_, buffer_); }

  std::array<std::byte, kSize> program_{};
  std::byte* text_ = nullptr;
  TextPlace place_;
  ProcessFiles process_;
  std::vector<std::byte> buffer_;
};

TEST_F(ProcessTextTest, TextOfItsFileIsIntact) { EXPECT_EQ(look(), TextState::intact); }

TEST_F(ProcessTextTest, OneByteThatWasWrittenIsSeen) {
  write(5 * 4096 + 77, ~program_[5 * 4096 + 77]);
  EXPECT_EQ(look(), TextState::changed);
}

TEST_F(ProcessTextTest, APageOfItsOwnWithTheSameBytesIsIntact) {
  write(5 * 4096 + 77, program_[5 * 4096 + 77]);
  EXPECT_EQ(look(), TextState::intact);
}

TEST_F(ProcessTextTest, WithoutWordOfItsPagesAllOfThemAreRead) {
  process_.pagemap.reset();
  EXPECT_EQ(look(), TextState::intact);
  write(kSize - 1, ~program_[kSize - 1]);
  EXPECT_EQ(look(), TextState::changed);
}

TEST_F(ProcessTextTest, NothingElseMayBeExecuted) {
  say(line() + "7f0000000000-7f0000001000 r--p 00000000 00:00 0 \n" +
      "7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0 [vdso]\n");
  EXPECT_EQ(look(), TextState::intact);
  say(line() + "7f0000000000-7f0000001000 r-xp 00000000 00:00 0 \n");
  EXPECT_EQ(look(), TextState::foreign);
}

TEST_F(ProcessTextTest, TheProgramMustBeWhereItWasAndItself) {
  const auto before = line();
  ++place_.inode;
  say(before);
  EXPECT_EQ(look(), TextState::foreign);
  say("7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n");
  EXPECT_EQ(look(), TextState::foreign);
}

TEST_F(ProcessTextTest, WhoIsGoneIsForOthersToTell) {
  say("");
  EXPECT_EQ(look(), TextState::intact);
}

}  // namespace
