#include "machine/guardian.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace vitrine {
namespace {

/// A file as a control group's `cpu.max` is one: it is there, and is written in place.
class GuardianFiles : public ::testing::Test {
 protected:
  GuardianFiles() {
    char place[] = "/tmp/vitrine-guardian-XXXXXX";
    folder_ = ::mkdtemp(place);
    std::ofstream(limit()) << "20000 100000\n";
  }
  ~GuardianFiles() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string limit() const { return folder_ + "/cpu.max"; }
  [[nodiscard]] std::string text() const {
    std::ifstream file(limit());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] static auto start() { return Guardian::start(Monitor(QemuProcess{})); }
  [[nodiscard]] Undo undo() const {
    Undo undo;
    undo.files.push_back({limit(), "90000 100000\n"});
    return undo;
  }

  std::string folder_;
};

TEST_F(GuardianFiles, PromisedIsWrittenWhenWeEnd) {
  auto guardian = start();
  ASSERT_TRUE(guardian);
  ASSERT_TRUE((*guardian)->promise(undo()));
  EXPECT_EQ(text(), "20000 100000\n");
  guardian->reset();  // as our end closes the socket
  EXPECT_EQ(text(), "90000 100000\n");
}

TEST_F(GuardianFiles, KeptIsLeftAlone) {
  auto guardian = start();
  ASSERT_TRUE(guardian);
  const auto number = (*guardian)->promise(undo());
  ASSERT_TRUE(number);
  (*guardian)->kept(*number);
  guardian->reset();
  EXPECT_EQ(text(), "20000 100000\n");
}

TEST_F(GuardianFiles, GroupThatWentIsNotMadeAgain) {
  auto guardian = start();
  ASSERT_TRUE(guardian);
  ASSERT_TRUE((*guardian)->promise(undo()));
  std::filesystem::remove(limit());
  guardian->reset();
  EXPECT_FALSE(std::filesystem::exists(limit()));
}

}  // namespace
}  // namespace vitrine
