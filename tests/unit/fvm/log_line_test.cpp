#include "fvm/log_line.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <string>

#include "memory/file_descriptor.h"

namespace vitrine::fvm {
namespace {

/// stderr as another file while this lives.
class StderrAs {
 public:
  explicit StderrAs(int file) : before_(::dup(STDERR_FILENO)) { ::dup2(file, STDERR_FILENO); }
  StderrAs(const StderrAs&) = delete;
  StderrAs& operator=(const StderrAs&) = delete;
  ~StderrAs() { ::dup2(before_.get(), STDERR_FILENO); }

 private:
  FileDescriptor before_;
};

TEST(LogLineTest, IsOneWholeLine) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor out(ends[0]), in(ends[1]);
  {
    const StderrAs pipe(in.get());
    log_line("vitrined", "web1: its QEMU ended");
  }
  std::array<char, 100> text{};
  const auto size = ::read(out.get(), text.data(), text.size());
  EXPECT_EQ(std::string(text.data(), static_cast<std::size_t>(size)),
            "vitrined: web1: its QEMU ended\n");
}

TEST(LogLineTest, FullDiskEndsNobody) {
  const FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  const StderrAs disk(full.get());
  EXPECT_NO_THROW(log_line("vitrine-guard", "web1: FVM 7: neither a step nor CPU time"));
}

TEST(LogLineTest, ReaderThatIsGoneEndsNobody) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  const FileDescriptor in(ends[1]);
  const auto before = ::signal(SIGPIPE, SIG_IGN);  // as all our daemons have it
  {
    const StderrAs pipe(in.get());
    EXPECT_NO_THROW(log_line("vitrined", "nobody reads this"));
  }
  ::signal(SIGPIPE, before);
}

}  // namespace
}  // namespace vitrine::fvm
