#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <utility>

#include "cli/output.h"

namespace vitrine::cli {
namespace {

class PacedOutput : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  void TearDown() override {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ::close(ends_[1]);
  }
  std::array<int, 2> ends_{-1, -1};
};

TEST_F(PacedOutput, AStalledReaderIsNotWaitedFor) {
  FdOutput output(ends_[1]);
  output.pace(true);
  const std::string mebibyte(1 << 20, 'x');
  std::size_t taken = 0;
  while (output.room(mebibyte.size())) {
    ASSERT_TRUE(output.write(mebibyte));
    taken += mebibyte.size();
    ASSERT_LE(taken, 2 * FdOutput::kMostPending);
  }
  EXPECT_GE(taken, FdOutput::kMostPending / 2);
  std::size_t read = 0;
  std::thread reader([&] {
    std::string part(1 << 16, 0);
    for (ssize_t got; (got = ::read(ends_[0], part.data(), part.size())) > 0;)
      if ((read += static_cast<std::size_t>(got)) >= taken) return;
  });
  output.pace(false);
  EXPECT_TRUE(output.flush());
  reader.join();
  EXPECT_EQ(read, taken);
}

TEST_F(PacedOutput, AReaderThatLeavesIsNoticed) {
  ::signal(SIGPIPE, SIG_IGN);
  FdOutput output(ends_[1]);
  output.pace(true);
  ::close(std::exchange(ends_[0], -1));
  (void)output.write("x");
  EXPECT_FALSE(output.flush());
  EXPECT_EQ(output.failed(), EPIPE);
}

}  // namespace
}  // namespace vitrine::cli
