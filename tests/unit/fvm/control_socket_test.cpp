#include "fvm/supervisor/control_socket.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace vitrine::fvm {
namespace {

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() {
    char place[] = "/tmp/vitrine-control-XXXXXX";
    folder_ = ::mkdtemp(place);
    auto made = ControlSocket::listen(path());
    if (made) server_.emplace(std::move(*made));
  }
  ~ControlSocketTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path() const { return folder_ + "/control.sock"; }

  [[nodiscard]] FileDescriptor client() const {
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().c_str(), path().size());
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return socket;
  }
  void serve(const std::string& answer) {
    server_->serve([&](std::string_view) { return answer; });
  }
  [[nodiscard]] std::size_t clients() const {
    std::vector<pollfd> all;
    server_->poll_for(all);
    return all.size() - 1;
  }
  /// What can be read now; `ended`: and nothing more will come.
  static std::string read_all(const FileDescriptor& socket, bool& ended) {
    std::string text;
    std::vector<char> piece(1 << 20);
    while (true) {
      const auto got = ::recv(socket.get(), piece.data(), piece.size(), 0);
      ended = got == 0;
      if (got <= 0) return text;
      text.append(piece.data(), static_cast<std::size_t>(got));
    }
  }

  std::string folder_;
  std::optional<ControlSocket> server_;
};

TEST_F(ControlSocketTest, IsItsOwnersAlone) {
  ASSERT_TRUE(server_);
  struct stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

// Hundreds of guests have a status that no socket's buffer takes at once.
TEST_F(ControlSocketTest, LongAnswerComesWhole) {
  ASSERT_TRUE(server_);
  const std::string answer(8 << 20, 'x');
  const auto one = client();
  ASSERT_EQ(::send(one.get(), "{}\n", 3, 0), 3);
  std::string told;
  bool ended = false;
  for (int turn = 0; turn < 10'000 && !ended; ++turn) {
    serve(answer);
    told += read_all(one, ended);
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(told.size(), answer.size() + 1);
  EXPECT_EQ(told.back(), '\n');
  EXPECT_EQ(clients(), 0U);
}

TEST_F(ControlSocketTest, WhoDoesNotReadHoldsNobodyUp) {
  ASSERT_TRUE(server_);
  const std::string answer(8 << 20, 'x');
  const auto deaf = client();
  ASSERT_EQ(::send(deaf.get(), "{}\n", 3, 0), 3);
  serve(answer);
  EXPECT_EQ(clients(), 1U);
  std::vector<pollfd> all;
  server_->poll_for(all);
  EXPECT_EQ(all.back().events, POLLOUT);  // not what it says further
  const auto other = client();
  ASSERT_EQ(::send(other.get(), "{}\n", 3, 0), 3);
  serve("short");
  bool ended = false;
  EXPECT_EQ(read_all(other, ended), "short\n");
  EXPECT_TRUE(ended);
}

// A listener that cannot take anybody in stays ready to be read: whoever waits for it would turn
// without a pause.
TEST_F(ControlSocketTest, OutOfDescriptorsItRestsAndHearsLater) {
  ASSERT_TRUE(server_);
  const auto waiting = client();
  ASSERT_EQ(::send(waiting.get(), "{}\n", 3, 0), 3);
  const auto ready = [&] {
    std::vector<pollfd> all;
    server_->poll_for(all);
    return ::poll(all.data(), all.size(), 0);
  };
  EXPECT_EQ(ready(), 1);
  {
    rlimit old{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
    const rlimit none{3, old.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    serve("yes");
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  }
  EXPECT_EQ(clients(), 0U);
  EXPECT_EQ(ready(), 0);
  bool ended = false;
  std::string told;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!ended && std::chrono::steady_clock::now() < end) {
    std::vector<pollfd> all;
    server_->poll_for(all);
    (void)::poll(all.data(), all.size(), 20);
    serve("yes");
    told += read_all(waiting, ended);
  }
  EXPECT_EQ(told, "yes\n");
}

TEST_F(ControlSocketTest, QuestionInPiecesAndOneTooLong) {
  ASSERT_TRUE(server_);
  const auto slow = client();
  ASSERT_EQ(::send(slow.get(), "{", 1, 0), 1);
  serve("yes");
  ASSERT_EQ(::send(slow.get(), "}\n", 2, 0), 2);
  serve("yes");
  bool ended = false;
  EXPECT_EQ(read_all(slow, ended), "yes\n");
  const auto endless = client();
  const std::string text(8192, 'x');
  ASSERT_GT(::send(endless.get(), text.data(), text.size(), 0), 4096);
  serve("no");
  EXPECT_EQ(clients(), 0U);
}

}  // namespace
}  // namespace vitrine::fvm
