#include "probe/agent/agent_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "memory/file_descriptor.h"
#include "memory/send_with_files.h"
#include "probe/agent/agent_exchange.h"

namespace vitrine::probe {
namespace {

/// Whoever answers at the other end of a link.
class FakeAgent {
 public:
  /// `talk` runs on a thread of its own, after the welcome; then the connection stays until the
  /// other end goes.
  explicit FakeAgent(std::function<void(int client)> talk) {
    std::filesystem::create_directory(folder_);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path().size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path().c_str(), path().size());
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    EXPECT_EQ(::listen(listener_.get(), 1), 0);
    thread_ = std::thread([this, talk = std::move(talk)] {
      const FileDescriptor client(::accept(listener_.get(), nullptr, nullptr));
      say(client.get(), MessageKind::welcome, encode(Welcome{}));
      talk(client.get());
      std::array<char, 4096> rest{};
      while (::read(client.get(), rest.data(), rest.size()) > 0) continue;
    });
  }
  ~FakeAgent() {
    thread_.join();
    std::filesystem::remove_all(folder_);
  }
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  [[nodiscard]] std::string path() const { return (folder_ / "agent").string(); }
  static void say(int client, MessageKind kind, Bytes body, std::span<const int> files = {}) {
    (void)send_with_files(client, encode_frame(kind, body), files);
  }

 private:
  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / std::to_string(::getpid());
  FileDescriptor listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::thread thread_;
};

TEST(AgentLink, TheDescriptorComesWithItsAnswerThoughEventsStandBeforeIt) {
  const FakeAgent agent([](int client) {
    FakeAgent::say(client, MessageKind::held, std::vector<std::byte>(16));
    const std::array<int, 1> files = {client};
    FakeAgent::say(client, MessageKind::loaded, encode(Loaded{.ok = true, .rings = 1, .why = {}}),
                   files);
  });
  auto link = AgentLink::connect(agent.path());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->peer(), ::getpid());
  ::usleep(50'000);  // both lie in the socket
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const auto first = link->receive(until);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->message.kind, MessageKind::held);
  EXPECT_FALSE(first->descriptor);
  const auto second = link->receive(until);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->message.kind, MessageKind::loaded);
  EXPECT_TRUE(second->descriptor);
}

TEST(AgentExchange, AnAnswerThatComesLateIsNoLaterRequests) {
  const FakeAgent agent([](int client) {
    std::array<char, 4096> request{};
    (void)::read(client, request.data(), request.size());
    ::usleep(400'000);  // the first request has given up
    for (const auto rings : {1U, 2U})
      FakeAgent::say(client, MessageKind::loaded,
                     encode(Loaded{.ok = true, .rings = rings, .why = {}}));
  });
  auto link = AgentLink::connect(agent.path());
  ASSERT_TRUE(link);
  AgentExchange exchange(std::move(*link), std::chrono::milliseconds(100));
  const auto ask = [&] {
    return exchange.request(MessageKind::load, std::vector<std::byte>(4), MessageKind::loaded);
  };
  const auto first = ask();
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, Errc::timeout);
  ::usleep(500'000);
  const auto second = ask();
  ASSERT_TRUE(second) << second.error().message;
  const auto loaded = decode_message<Loaded>(second->body);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->rings, 2U);
}

}  // namespace
}  // namespace vitrine::probe
