// The relay between a guard and the manager of its guest: it speaks QMP as QEMU would.
#include "fvm/relay/qmp_relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <future>
#include <latch>
#include <thread>

#include "machine/qmp.h"

using namespace vitrine;
using namespace vitrine::fvm;
using std::chrono::milliseconds;

namespace {

/// A manager as libvirt is one: it puts its own id into each answer.
class Manager final : public MonitorPort {
 public:
  Outcome<std::string> run(const std::string& command) override {
    heard = command;
    if (command.find("wait") != std::string::npos) free_to_go.wait();
    if (command.find("away") != std::string::npos)
      return std::unexpected(Problem(Errc::io, "libvirt: it is not there"));
    if (command.find("nonsense") != std::string::npos) return std::string("[1]");
    if (command.find("refused") != std::string::npos)
      return std::string(R"({"id":"libvirt-7","error":{"class":"GenericError","desc":"no"}})");
    return std::string(R"({"return":{"status":"running"},"id":"libvirt-7"})");
  }
  Outcome<std::string> dump(int file) override {
    if (!can_dump) return std::unexpected(Problem(Errc::io, "libvirt: no room"));
    free_to_go.wait();
    (void)!::write(file, "core", 4);
    return std::string();
  }

  std::string heard;
  std::latch free_to_go{1};
  bool can_dump = true;
};

class Relayed : public testing::Test {
 protected:
  void connect(milliseconds patience = milliseconds(2000)) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    served_ = std::async(std::launch::async, [this, patience, end = ends[1]] {
      return relay_qmp(FileDescriptor(end), manager_, patience);
    });
    raw_ = ends[0];
    auto qmp = Qmp::adopt(FileDescriptor(ends[0]));
    ASSERT_TRUE(qmp) << qmp.error().message;
    qmp_ = std::move(*qmp);
  }

  /// The answer, or "".
  std::string said(const char* command) { return qmp_->execute(command).value_or(""); }

  Manager manager_;
  std::future<Outcome<void>> served_;
  std::unique_ptr<Qmp> qmp_;
  int raw_ = -1;
};

TEST_F(Relayed, AnswersComeUnderTheClientsOwnId) {
  connect();
  for (int turn = 0; turn < 3; ++turn)
    EXPECT_STREQ(said("query-status").c_str(), R"({"status":"running"})");
  EXPECT_STREQ(manager_.heard.c_str(), R"({"execute":"query-status"})");
  const auto refused = qmp_->execute("refused", R"({"a":1})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "QEMU refused: no");
  EXPECT_STREQ(manager_.heard.c_str(), R"({"execute":"refused","arguments":{"a":1}})");
}

TEST_F(Relayed, AManagerThatIsAwayIsAnError) {
  connect();
  for (const auto* command : {"away", "nonsense"}) {
    const auto answer = qmp_->execute(command);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::invalid) << answer.error().message;
  }
  EXPECT_TRUE(qmp_->execute("query-status"));
}

TEST_F(Relayed, NobodyWaitsForAManagerThatHangs) {
  connect(milliseconds(20));
  const auto begin = std::chrono::steady_clock::now();
  for (int turn = 0; turn < 3; ++turn) {
    const auto answer = qmp_->execute("wait");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::invalid);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  manager_.free_to_go.count_down();
  while (!qmp_->execute("query-status")) std::this_thread::yield();
}

TEST_F(Relayed, ADumpIsTheManagers) {
  connect();
  const FileDescriptor file(::memfd_create("core", MFD_CLOEXEC));
  EXPECT_FALSE(qmp_->execute("dump-guest-memory")) << "no file yet";
  ASSERT_TRUE(qmp_->execute_with_file("getfd", R"({"fdname":"x"})", file.get()));
  ASSERT_TRUE(qmp_->execute("dump-guest-memory", R"({"paging":false,"protocol":"fd:x"})"));
  EXPECT_STREQ(said("query-dump").c_str(), R"({"status":"active"})");
  const auto busy = qmp_->execute("query-status");
  ASSERT_FALSE(busy);
  EXPECT_NE(busy.error().message.find("is being written"), std::string::npos);
  manager_.free_to_go.count_down();
  while (said("query-dump").find("completed") == std::string::npos) std::this_thread::yield();
  char core[5] = {};
  EXPECT_EQ(::pread(file.get(), core, 4, 0), 4);
  EXPECT_STREQ(core, "core");
  EXPECT_STREQ(manager_.heard.c_str(), "") << "QEMU itself was told nothing";
}

TEST_F(Relayed, ADumpThatCannotBeginIsToldAtOnceOrLater) {
  manager_.can_dump = false;
  connect();
  const FileDescriptor file(::memfd_create("core", MFD_CLOEXEC));
  ASSERT_TRUE(qmp_->execute_with_file("getfd", R"({"fdname":"x"})", file.get()));
  const auto begun = qmp_->execute("dump-guest-memory");
  if (begun) {  // a busy host
    while (said("query-dump").find("active") != std::string::npos) std::this_thread::yield();
    EXPECT_STREQ(said("query-dump").c_str(), R"({"status":"failed"})");
  } else {
    EXPECT_NE(begun.error().message.find("no room"), std::string::npos);
  }
}

TEST_F(Relayed, WhatIsNoCommandEndsIt) {
  for (const auto& nonsense :
       {std::string("{\"execute\" 5}"), "{" + std::string(kLongestCommand + 1, '"') + "\""}) {
    connect();
    (void)!::send(raw_, nonsense.data(), nonsense.size(), MSG_NOSIGNAL);
    const auto done = served_.get();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::protocol);
  }
}

TEST_F(Relayed, ItEndsWithItsClientEvenWhileTheManagerHangs) {
  connect(milliseconds(20));
  EXPECT_FALSE(qmp_->execute("wait"));
  qmp_.reset();
  EXPECT_TRUE(served_.get());
  manager_.free_to_go.count_down();
  std::this_thread::sleep_for(milliseconds(50));  // its thread lets go of the manager
}

}  // namespace
