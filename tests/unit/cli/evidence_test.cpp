// vitrine evidence, from its words to its exit status.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "evidence/store.h"
#include "unit/cli/fake_world.h"

namespace vitrine::cli::test {
namespace {

class EvidenceCommand : public testing::Test {
 protected:
  EvidenceCommand() {
    std::string pattern = std::filesystem::temp_directory_path() / "vitrine-evidence-XXXXXX";
    state_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(state_ / "evidence/web1");
    std::filesystem::create_directories(state_ / "keys");
    auto key = evidence::SigningKey::load_or_create(state_ / "keys/web1.key");
    auto store = evidence::Store::open(state_ / "evidence/web1/evidence.db", "web1", *key);
    for (const auto* subject : {"text-patched", "hidden\x1b[31m"}) {
      head_ = *store->append({.moment = evidence::now({}),
                              .guest = "web1",
                              .subject = subject,
                              .severity = 4,
                              .key = subject,
                              .body = R"({"words":"kernel text differs"})"});
    }
  }
  ~EvidenceCommand() override { std::filesystem::remove_all(state_); }

  [[nodiscard]] cli::test::Run with_state(std::vector<std::string> words) const {
    words.insert(words.begin(), "evidence");
    words.insert(words.end(), {"--state", state_.string()});
    return run(words, Script());
  }

  std::filesystem::path state_;
  evidence::Link head_;
};

TEST_F(EvidenceCommand, ListsEveryGuestAndDrivesNoTerminal) {
  const auto made = with_state({"list"});
  EXPECT_EQ(made.status, Status::done) << made.err;
  EXPECT_NE(made.out.find("text-patched"), std::string::npos);
  EXPECT_NE(made.out.find("kernel text differs"), std::string::npos);
  EXPECT_EQ(made.out.find('\x1b'), std::string::npos);
}

TEST_F(EvidenceCommand, ShowsOneEntryAsJson) {
  const auto made = with_state({"show", "web1", "2", "--json"});
  EXPECT_EQ(made.status, Status::done) << made.err;
  EXPECT_NE(made.out.find(R"("words":"kernel text differs")"), std::string::npos);
  EXPECT_EQ(made.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(with_state({"show", "web1", "3"}).status, Status::failed);
  EXPECT_EQ(with_state({"show", "web1", "x"}).status, Status::misused);
}

TEST_F(EvidenceCommand, VerifiesWithThePublishedKeyAndAnAnchor) {
  const auto made = with_state({"verify"});
  EXPECT_EQ(made.status, Status::done) << made.err;
  const auto anchor = "2:" + evidence::hexadecimal(head_.hash);
  EXPECT_NE(made.out.find("2 entries of web1: sound"), std::string::npos) << made.out;
  EXPECT_NE(made.out.find("anchor: " + anchor), std::string::npos);
  EXPECT_EQ(made.out.find("--public-key"), std::string::npos);
  EXPECT_EQ(with_state({"verify", "web1", "--anchor", anchor}).status, Status::done);
  auto later = anchor;
  later.front() = '3';
  const auto cut = with_state({"verify", "web1", "--anchor", later});
  EXPECT_EQ(cut.status, Status::failed);
  EXPECT_NE(cut.out.find("its tail was cut off"), std::string::npos);
}

TEST_F(EvidenceCommand, AnotherKeyIsSaid) {
  const auto other = state_ / "other.key";
  ASSERT_TRUE(evidence::SigningKey::load_or_create(other));
  const auto made = with_state({"verify", "web1", "--public-key", state_ / "other.pub"});
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_NE(made.out.find("NOT SOUND"), std::string::npos);
}

TEST_F(EvidenceCommand, WrongWordsAreToldWhatThereIs) {
  EXPECT_EQ(with_state({"frob"}).status, Status::misused);
  EXPECT_EQ(with_state({"verify", "web9"}).status, Status::failed);
  EXPECT_EQ(with_state({"verify", "web1", "--anchor", "7"}).status, Status::misused);
}

}  // namespace
}  // namespace vitrine::cli::test
