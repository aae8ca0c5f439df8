// A pid, and which process it is.
#include "machine/process_start.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace vitrine {
namespace {

TEST(ProcessStart, OfAProcessThatRunsThatHasEndedAndThatIsGone) {
  EXPECT_NE(start_time_of(::getpid()), 0U);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(0);
  siginfo_t seen{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &seen, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(start_time_of(child), 0U);  // its parent has not noticed
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(start_time_of(child), 0U);
}

TEST(ProcessStart, OneThatASignalStoppedIsToldFromOneThatRuns) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_TRUE(is_stopped(child));
  EXPECT_NE(start_time_of(child), 0U);
  ::kill(child, SIGCONT);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_FALSE(is_stopped(child));
  EXPECT_FALSE(is_stopped(::getpid()));
}

}  // namespace
}  // namespace vitrine
