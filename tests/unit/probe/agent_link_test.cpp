#include "probe/agent/agent_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include "memory/file_descriptor.h"
#include "memory/send_with_files.h"

namespace vitrine::probe {
namespace {

TEST(AgentLink, TheDescriptorComesWithItsAnswerThoughEventsStandBeforeIt) {
  const auto folder = std::filesystem::path(testing::TempDir()) / std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  const auto path = (folder / "agent").string();
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  std::thread agent([&] {
    const FileDescriptor client(::accept(listener.get(), nullptr, nullptr));
    for (const auto kind : {MessageKind::welcome, MessageKind::held, MessageKind::loaded}) {
      const auto body = kind == MessageKind::welcome ? encode(Welcome{})
                        : kind == MessageKind::loaded
                            ? encode(Loaded{.ok = true, .rings = 1, .why = {}})
                            : std::vector<std::byte>(16);
      const auto frame = encode_frame(kind, body);
      std::array<int, 1> files = {client.get()};
      const auto some = std::span<const int>(files).first(kind == MessageKind::loaded ? 1 : 0);
      (void)send_with_files(client.get(), frame, some);
    }
    std::array<char, 1> end{};
    (void)::read(client.get(), end.data(), end.size());
  });
  {
    auto link = AgentLink::connect(path);
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
  agent.join();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vitrine::probe
