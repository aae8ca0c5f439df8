// The agent's side of the control protocol, without a QEMU around it.
#include "probe/agent/control_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "probe/agent/agent_link.h"

namespace vitrine::probe {
namespace {

class ControlServerTest : public ::testing::Test {
 protected:
  ControlServerTest() {
    char place[] = "/tmp/vitrine-agent-XXXXXX";
    folder_ = ::mkdtemp(place);
    api_.vcpu_count = [] { return 1; };
  }
  ~ControlServerTest() override { std::filesystem::remove_all(folder_); }

  static AgentNote note(std::size_t number) {
    return {.text = std::to_string(number) + std::string(8000, '.')};
  }

  std::string folder_;
  PluginApi api_;
};

TEST_F(ControlServerTest, SocketIsItsUsersAloneAndGoesWithIt) {
  TcgEngine engine(api_, 1, 1);
  ControlServer server(engine);
  ASSERT_TRUE(server.start(folder_));
  struct stat status{};
  ASSERT_EQ(::stat(server.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  server.stop();
  EXPECT_NE(::stat(server.path().c_str(), &status), 0);
  ::chmod(folder_.c_str(), 0755);
  ControlServer open(engine);
  EXPECT_EQ(open.start(folder_).error().code, Errc::denied);
}

// Nobody who notes something waits for the controller, and what was taken is told: that the machine
// was reset is said once, and must not be lost to a socket that is full just then.
TEST_F(ControlServerTest, NotesThatASlowControllerDoesNotTakeAreToldLater) {
  TcgEngine engine(api_, 1, 1);
  ControlServer server(engine);
  ASSERT_TRUE(server.start(folder_));
  EXPECT_FALSE(server.note(note(0)));  // nobody is there
  auto link = AgentLink::connect(server.path());
  ASSERT_TRUE(link) << link.error().message;
  std::size_t taken = 0;
  while (taken < 10'000 && server.note(note(taken))) ++taken;
  ASSERT_LT(taken, 10'000U);  // what waits is bounded
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::vector<bool> told(taken);
  for (std::size_t i = 0; i < taken; ++i) {
    const auto received = link->receive(until);
    ASSERT_TRUE(received) << received.error().message << " after " << i << " of " << taken;
    ASSERT_EQ(received->message.kind, MessageKind::note);
    const auto one = decode_message<AgentNote>(received->message.body);
    ASSERT_TRUE(one);
    const auto number = std::stoul(one->text.substr(0, one->text.find('.')));
    ASSERT_LT(number, taken);
    told[number] = true;
  }
  EXPECT_EQ(std::ranges::count(told, true), static_cast<std::ptrdiff_t>(taken));
}

TEST_F(ControlServerTest, WhatWaitedForOneControllerIsNotToldTheNext) {
  TcgEngine engine(api_, 1, 1);
  ControlServer server(engine);
  ASSERT_TRUE(server.start(folder_));
  {
    auto link = AgentLink::connect(server.path());
    ASSERT_TRUE(link);
    for (std::size_t i = 0; i < 10'000 && server.note(note(i)); ++i) {
    }
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  auto next = AgentLink::connect(server.path());
  while (!next && std::chrono::steady_clock::now() < until)
    next = AgentLink::connect(server.path());
  ASSERT_TRUE(next) << next.error().message;
  const auto received =
      next->receive(std::chrono::steady_clock::now() + std::chrono::milliseconds(100));
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, Errc::timeout);
}

}  // namespace
}  // namespace vitrine::probe
