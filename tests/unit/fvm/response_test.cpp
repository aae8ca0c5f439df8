// What a guard does to its guest, as the guest's monitor hears it.
#include "fvm/guard/response.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

namespace vitrine::fvm {
namespace {

using Json = nlohmann::json;

/// A QEMU as far as its monitor: runs or stands, and has links, some of which it does not cut.
class FakeMachine {
 public:
  FakeMachine() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ours_ = FileDescriptor(ends[0]);
    theirs_ = FileDescriptor(ends[1]);
    thread_ = std::thread([this] { serve(); });
  }
  FakeMachine(const FakeMachine&) = delete;
  FakeMachine& operator=(const FakeMachine&) = delete;
  ~FakeMachine() {
    ::shutdown(theirs_.get(), SHUT_RDWR);
    thread_.join();
  }

  [[nodiscard]] Response response(std::string snapshots = "/nowhere") {
    return {Qmp::adopt(std::move(ours_)).value(), std::move(snapshots)};
  }
  void set(bool runs) {
    const std::lock_guard lock(mutex_);
    runs_ = runs;
  }
  [[nodiscard]] bool runs() const {
    const std::lock_guard lock(mutex_);
    return runs_;
  }
  [[nodiscard]] std::vector<std::string> cut() const {
    const std::lock_guard lock(mutex_);
    return cut_;
  }

  std::string network;  ///< what "info network" says
  std::uint64_t memory = 1 << 20;
  std::vector<std::string> refuses;  ///< links that stay as they are

 private:
  void send(const Json& json) const {
    const auto line = json.dump() + "\n";
    (void)::send(theirs_.get(), line.data(), line.size(), MSG_NOSIGNAL);
  }
  Json answer(const Json& command) {
    const std::lock_guard lock(mutex_);
    const auto name = command.at("execute").get<std::string>();
    if (name == "stop" || name == "cont") runs_ = name == "cont";
    if (name == "query-status") return {{"return", {{"status", runs_ ? "running" : "paused"}}}};
    if (name == "query-dump") return {{"return", {{"status", "completed"}}}};
    if (name == "query-memory-size-summary") return {{"return", {{"base-memory", memory}}}};
    if (name == "human-monitor-command") return {{"return", network}};
    if (name == "set_link") {
      const auto link = command.at("arguments").at("name").get<std::string>();
      if (std::ranges::find(refuses, link) != refuses.end())
        return {{"error", {{"class", "GenericError"}, {"desc", "no"}}}};
      cut_.push_back(link);
    }
    return {{"return", Json::object()}};
  }
  void serve() {
    send({{"QMP", {{"version", Json::object()}, {"capabilities", Json::array()}}}});
    std::string text;
    std::array<char, 4096> piece;
    while (true) {
      const auto got = ::recv(theirs_.get(), piece.data(), piece.size(), 0);
      if (got <= 0) return;
      text.append(piece.data(), static_cast<std::size_t>(got));
      for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
        const auto command = Json::parse(text.substr(0, end));
        text.erase(0, end + 1);
        auto told = answer(command);
        told["id"] = command.at("id");
        send(told);
      }
    }
  }

  FileDescriptor ours_, theirs_;
  std::thread thread_;
  mutable std::mutex mutex_;
  bool runs_ = true;
  std::vector<std::string> cut_;
};

constexpr std::string_view kTwoCards =
    "net0: index=0,type=nic,model=virtio-net-pci\r\n"
    " \\ user0: index=0,type=user\r\n"
    "net1: index=0,type=nic,model=e1000\r\n"
    " \\ tap1: index=0,type=tap\r\n";

class ResponseTest : public ::testing::Test {
 protected:
  Policy policy_{.throttle_percent = 20};
  Response::Time now_ = std::chrono::steady_clock::now();
};

TEST_F(ResponseTest, ThrottledMachineIsNotLeftStopped) {
  FakeMachine machine;
  auto response = machine.response();
  ASSERT_TRUE(response.apply(Action::throttle, policy_, now_));
  EXPECT_FALSE(response.tick(now_));
  EXPECT_FALSE(machine.runs());
  response.leave();
  EXPECT_TRUE(machine.runs());
}

TEST_F(ResponseTest, WhatWasThrottledGoesOnRunningAndStopping) {
  FakeMachine machine;
  machine.set(false);  // as the one before was killed
  auto response = machine.response();
  ASSERT_TRUE(response.take_up(kThrottled | kIsolated, policy_, now_));
  EXPECT_EQ(response.applied(), kThrottled | kIsolated);
  ASSERT_TRUE(response.next());
  EXPECT_FALSE(response.tick(now_));
  EXPECT_TRUE(machine.runs());
  EXPECT_FALSE(response.tick(now_ + std::chrono::milliseconds(41)));
  EXPECT_FALSE(machine.runs());
  response.end_throttling();
  EXPECT_TRUE(machine.runs());
  EXPECT_EQ(response.applied(), kIsolated);
}

TEST_F(ResponseTest, FrozenStaysFrozenAndIsNotThrottled) {
  FakeMachine machine;
  machine.set(false);
  auto response = machine.response();
  ASSERT_TRUE(response.take_up(kFrozen, policy_, now_));
  ASSERT_TRUE(response.apply(Action::throttle, policy_, now_));
  EXPECT_EQ(response.applied(), kFrozen);
  EXPECT_FALSE(response.tick(now_));
  response.leave();
  EXPECT_FALSE(machine.runs());
}

TEST_F(ResponseTest, FrozenThatSomebodyLetGoIsLetBe) {
  FakeMachine machine;
  auto response = machine.response();
  ASSERT_TRUE(response.take_up(kFrozen, policy_, now_));
  EXPECT_EQ(response.applied(), 0U);
  EXPECT_TRUE(machine.runs());
}

TEST_F(ResponseTest, LinkIsDownIfOneOfItsEndsIs) {
  FakeMachine machine;
  machine.network = kTwoCards;
  machine.refuses = {"user0", "net1"};
  auto response = machine.response();
  const auto done = response.apply(Action::isolate, policy_, now_);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(*done, "isolated: the links of net0, tap1 are down");
  EXPECT_EQ(response.applied(), kIsolated);
}

TEST_F(ResponseTest, LinkThatStaysUpIsNoIsolation) {
  FakeMachine machine;
  machine.network = kTwoCards;
  machine.refuses = {"net1", "tap1"};
  auto response = machine.response();
  const auto done = response.apply(Action::isolate, policy_, now_);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("not those of net1, tap1"), std::string::npos)
      << done.error().message;
  EXPECT_EQ(response.applied(), 0U);
  EXPECT_EQ(machine.cut(), (std::vector<std::string>{"net0", "user0"}));
}

TEST_F(ResponseTest, SnapshotsAreOneAMinuteAndLeaveRoom) {
  std::string pattern = std::filesystem::temp_directory_path() / "vitrine-response-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  FakeMachine machine;
  machine.memory = std::uint64_t{1} << 60;
  auto response = machine.response(folder);
  const auto refused = response.apply(Action::snapshot, policy_, now_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("no room"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  machine.memory = 4096;
  ASSERT_TRUE(response.apply(Action::snapshot, policy_, now_));
  const auto ended = response.tick(now_);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->action, Action::snapshot);
  const auto again = response.apply(Action::snapshot, policy_, now_ + std::chrono::seconds(30));
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("one a minute"), std::string::npos);
  // Its name is the wall clock's, which has hardly moved.
  for (const auto& image : std::filesystem::directory_iterator(folder))
    std::filesystem::remove(image.path());
  EXPECT_TRUE(response.apply(Action::snapshot, policy_, now_ + std::chrono::seconds(61)));
  std::filesystem::remove_all(folder);
}

TEST_F(ResponseTest, NoCardIsIsolated) {
  FakeMachine machine;
  auto response = machine.response();
  const auto done = response.apply(Action::isolate, policy_, now_);
  ASSERT_TRUE(done);
  EXPECT_EQ(*done, "isolated: it has no network card");
}

}  // namespace
}  // namespace vitrine::fvm
