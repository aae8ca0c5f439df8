// The store: what goes in comes out, in order, signed; a crash or a full disk loses nothing
// that was acknowledged.
#include "evidence/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "evidence/reader.h"
#include "evidence/verify.h"

using namespace vitrine;
using namespace vitrine::evidence;

namespace {

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "vitrine-store-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~StoreTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path() const { return folder_ / "web1.db"; }
  [[nodiscard]] static Entry entry(int number, std::string key = "k") {
    return {.moment = now(boot_),
            .guest = "web1",
            .subject = "text-patched",
            .severity = 3,
            .key = std::move(key),
            .body = "{\"n\":" + std::to_string(number) + "}"};
  }

  static inline const std::array<std::byte, 16> boot_ = boot_identity();
  SigningKey key_ = SigningKey::generate();
  std::filesystem::path folder_;
};

TEST_F(StoreTest, WhatGoesInComesOutAndVerifies) {
  {
    auto store = Store::open(path(), "web1", key_);
    ASSERT_TRUE(store) << store.error().message;
    for (int i = 1; i <= 5; ++i) {
      const auto link = store->append(entry(i));
      ASSERT_TRUE(link) << link.error().message;
      EXPECT_EQ(link->sequence, static_cast<std::uint64_t>(i));
    }
  }
  {
    auto again = Store::open(path(), "web1", key_);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->sequence(), 5U);
    ASSERT_TRUE(again->append(entry(6)));
  }
  const auto reader = Reader::open(path());
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->guest(), "web1");
  int expected = 1;
  ASSERT_TRUE(reader->read(1, [&](const StoredEntry& stored) {
    EXPECT_EQ(stored.entry.body, "{\"n\":" + std::to_string(expected++) + "}");
    return true;
  }));
  EXPECT_EQ(expected, 7);
  const auto report = verify(path(), key_.public_key(), {});
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->sound()) << report->faults.front().words;
  EXPECT_EQ(report->entries, 6U);
  EXPECT_TRUE(report->key_from_outside);
}

TEST_F(StoreTest, ReadersLookWhileTheGuardWrites) {
  auto store = Store::open(path(), "web1", key_);
  ASSERT_TRUE(store);
  ASSERT_TRUE(store->append(entry(1)));
  const auto report = verify(path(), {}, {});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->sound());
  EXPECT_FALSE(report->key_from_outside);
}

TEST_F(StoreTest, ASecondWriterIsRefused) {
  const auto first = Store::open(path(), "web1", key_);
  ASSERT_TRUE(first);
  const auto second = Store::open(path(), "web1", key_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::timeout);
}

TEST_F(StoreTest, AnotherKeyIsRefused) {
  {
    ASSERT_TRUE(Store::open(path(), "web1", key_));
  }
  const auto other = Store::open(path(), "web1", SigningKey::generate());
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::denied);
}

TEST_F(StoreTest, OpenFindingsAreThoseWithoutAGone) {
  auto store = Store::open(path(), "web1", key_);
  ASSERT_TRUE(store);
  auto gone = entry(3, "a");
  gone.kind = Kind::gone;
  ASSERT_TRUE(store->append(entry(1, "a")));
  ASSERT_TRUE(store->append(entry(2, "b")));
  ASSERT_TRUE(store->append(gone));
  auto open = store->open_findings();
  ASSERT_TRUE(open);
  ASSERT_EQ(open->size(), 1U);
  EXPECT_EQ(open->front().key, "b");
  ASSERT_TRUE(store->append(entry(4, "a")));
  open = store->open_findings();
  ASSERT_TRUE(open);
  EXPECT_EQ(open->size(), 2U);
}

TEST_F(StoreTest, OneKindIsReadBackTheLastFirst) {
  auto store = Store::open(path(), "web1", key_).value();
  for (int number = 0; number < 6; ++number) {
    auto one = entry(number);
    one.kind = number % 2 == 0 ? Kind::action : Kind::finding;
    ASSERT_TRUE(store.append(one));
  }
  std::vector<std::string> bodies;
  ASSERT_TRUE(store.read_back(Kind::action, [&](const Entry& one) {
    bodies.push_back(one.body);
    return bodies.size() < 2;
  }));
  EXPECT_EQ(bodies, (std::vector<std::string>{"{\"n\":4}", "{\"n\":2}"}));
}

TEST_F(StoreTest, LimitsAreToldNotCut) {
  auto store = Store::open(path(), "web1", key_);
  ASSERT_TRUE(store);
  auto large = entry(1);
  large.body.assign(kLongestBody + 1, 'x');
  const auto refused = store->append(large);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid);
  EXPECT_EQ(store->sequence(), 0U);
}

TEST_F(StoreTest, AFullDiskIsSaidAndWhatFollowsRoomIsWhole) {
  auto store = Store::open(path(), "web1", key_);
  ASSERT_TRUE(store);
  ASSERT_TRUE(store->limit_pages(40));
  auto large = entry(1);
  large.body.assign(20'000, 'x');
  int kept = 0;
  Outcome<Link> last;
  while ((last = store->append(large)) && kept < 100) ++kept;
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, Errc::too_large);
  EXPECT_NE(last.error().message.find("disk is full"), std::string::npos);
  EXPECT_EQ(store->sequence(), static_cast<std::uint64_t>(kept));
  ASSERT_TRUE(store->limit_pages(10'000));
  ASSERT_TRUE(store->append(large));
  const auto report = verify(path(), key_.public_key(), {});
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->sound());
  EXPECT_EQ(report->entries, static_cast<std::uint64_t>(kept) + 1);
}

TEST_F(StoreTest, KilledAtRandomPointsNothingAcknowledgedIsLost) {
  std::minstd_rand random(7);
  std::uint64_t acknowledged = 0;
  // A busy host may give a writer no CPU before its end: then there are more rounds.
  for (int round = 0; round < 25 || acknowledged <= 25; ++round) {
    ASSERT_LT(round, 1'000) << "no writer gets to write";
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      auto store = Store::open(path(), "web1", key_);
      if (!store) ::_exit(3);
      for (int i = 0;; ++i) {
        const auto link = store->append(entry(i));
        if (!link ||
            ::write(ends[1], &link->sequence, sizeof link->sequence) != sizeof link->sequence)
          ::_exit(4);
      }
    }
    ::close(ends[1]);
    ::usleep(static_cast<useconds_t>(3'000 + random() % 30'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << WEXITSTATUS(status);
    std::uint64_t sequence = 0;
    while (::read(ends[0], &sequence, sizeof sequence) == sizeof sequence) acknowledged = sequence;
    ::close(ends[0]);
    if (acknowledged == 0) continue;
    const auto report = verify(path(), key_.public_key(), {});
    ASSERT_TRUE(report) << report.error().message;
    ASSERT_TRUE(report->sound()) << "round " << round << ": " << report->faults.front().words;
    ASSERT_GE(report->entries, acknowledged);
    ASSERT_LE(report->entries, acknowledged + 1);  // one may be on the disk, but not acknowledged
    acknowledged = report->entries;
  }
}

TEST(SigningKeyFile, IsMadeOnceForItsUserAlone) {
  std::string pattern = std::filesystem::temp_directory_path() / "vitrine-key-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  const auto path = (folder / "web1.key").string();
  const auto made = SigningKey::load_or_create(path);
  ASSERT_TRUE(made) << made.error().message;
  const auto again = SigningKey::load_or_create(path);
  ASSERT_TRUE(again);
  EXPECT_EQ(made->public_key(), again->public_key());
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600));
  EXPECT_TRUE(std::filesystem::exists(folder / "web1.pub"));
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  const auto open_to_all = SigningKey::load_or_create(path);
  ASSERT_FALSE(open_to_all);
  EXPECT_EQ(open_to_all.error().code, Errc::denied);
  std::filesystem::remove_all(folder);
}

TEST(SigningKeyFile, KilledWhileItIsMadeItIsMadeAgain) {
  std::string pattern = std::filesystem::temp_directory_path() / "vitrine-key-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  const auto path = (folder / "web1.key").string();
  std::ofstream(path + "." + std::to_string(::getpid())) << "half";
  const auto made = SigningKey::load_or_create(path);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(std::filesystem::file_size(path), 32U);
  // The .pub that was not reached is made from the key.
  std::filesystem::remove(folder / "web1.pub");
  ASSERT_TRUE(SigningKey::load_or_create(path));
  EXPECT_TRUE(std::filesystem::exists(folder / "web1.pub"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 2);
  std::filesystem::remove_all(folder);
}

TEST(SigningKeyFile, LostKeyIsNotReplaced) {
  std::string pattern = std::filesystem::temp_directory_path() / "vitrine-key-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  const auto path = (folder / "web1.key").string();
  ASSERT_TRUE(SigningKey::load_or_create(path));
  const auto text = [&] {
    std::ifstream file(folder / "web1.pub");
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  const auto before = text();
  std::filesystem::remove(path);
  const auto again = SigningKey::load_or_create(path);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::denied);
  EXPECT_EQ(text(), before);
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

}  // namespace
