// A pid, and which process it is.
#include "machine/process_start.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

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

}  // namespace
}  // namespace vitrine
