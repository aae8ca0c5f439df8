// Tampering: each kind is told, with the entry it happened at.
#include "evidence/verify.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "evidence/store.h"

using namespace vitrine;
using namespace vitrine::evidence;

namespace {

class VerifyTest : public testing::Test {
 protected:
  VerifyTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "vitrine-verify-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    auto store = Store::open(path(), "web1", key_);
    for (int i = 1; i <= 10; ++i) {
      Entry entry{.moment = now(boot_identity()),
                  .guest = "web1",
                  .subject = "s",
                  .key = std::to_string(i),
                  .body = "{}"};
      entry.moment.wall_ns += i == 6 ? 3'600'000'000'000 : 0;  // somebody set the clock, and back
      links_.push_back(*store->append(entry));
    }
  }
  ~VerifyTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path() const { return folder_ / "web1.db"; }

  /// SQL as an attacker with the file in hand would run it.
  void tamper(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    char* words = nullptr;
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &words), SQLITE_OK) << words;
    sqlite3_free(words);
    sqlite3_close(database);
  }
  /// The same with the triggers out of the way, and put back.
  void tamper_quietly(const std::string& sql) {
    tamper("DROP TRIGGER entries_stay; DROP TRIGGER entries_remain;" + sql +
           ";CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, "
           "'evidence is never changed'); END;"
           "CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, "
           "'evidence is never deleted'); END");
  }
  [[nodiscard]] Report check(const std::optional<Anchor>& anchor = {}) const {
    return verify(path(), key_.public_key(), anchor).value();
  }
  void expect_fault(const Report& report, std::uint64_t entry, std::string_view words) {
    bool found = false;
    for (const auto& fault : report.faults) {
      found = found || (fault.sequence == entry && fault.words.find(words) != std::string::npos);
    }
    EXPECT_TRUE(found) << words;
    if (!found)
      for (const auto& fault : report.faults)
        ADD_FAILURE() << fault.sequence << ": " << fault.words;
  }

  SigningKey key_ = SigningKey::generate();
  std::vector<Link> links_;
  std::filesystem::path folder_;
};

TEST_F(VerifyTest, SoundWithARemarkOnTheClock) {
  const auto report = check();
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.head.sequence, 10U);
  EXPECT_EQ(report.head.hash, links_.back().hash);
  ASSERT_EQ(report.remarks.size(), 2U);
  EXPECT_NE(report.remarks[0].find("before entry 6 the wall clock jumped by +3600"),
            std::string::npos);
}

TEST_F(VerifyTest, TheStoreRefusesChanges) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, "UPDATE entries SET body = 'x'", nullptr, nullptr, nullptr),
            SQLITE_CONSTRAINT);
  EXPECT_EQ(sqlite3_exec(database, "DELETE FROM entries", nullptr, nullptr, nullptr),
            SQLITE_CONSTRAINT);
  EXPECT_EQ(sqlite3_exec(database, "DELETE FROM store", nullptr, nullptr, nullptr),
            SQLITE_CONSTRAINT);
  sqlite3_close(database);
  EXPECT_TRUE(check().sound());
}

TEST_F(VerifyTest, ChangedContent) {
  tamper_quietly("UPDATE entries SET body = '{\"x\":1}' WHERE sequence = 4");
  const auto report = check();
  EXPECT_EQ(report.faults.size(), 1U);
  expect_fault(report, 4, "entry 4: its content is not what was hashed");
}

TEST_F(VerifyTest, EveryColumnCounts) {
  for (const auto* column :
       {"kind = 2", "wall_ns = 5", "monotonic_ns = monotonic_ns + 1", "boot = x'00'", "guest = 'g'",
        "subject = 't'", "severity = 9", "key = 'z'", "previous = x'00'", "hash = x'00'",
        "signature = x'00'"}) {
    tamper_quietly(
        "CREATE TABLE kept AS SELECT * FROM entries WHERE sequence = 7;"
        "UPDATE entries SET " +
        std::string(column) + " WHERE sequence = 7");
    tamper_quietly("UPDATE entries SET hash = hash WHERE 0");
    EXPECT_FALSE(check().sound()) << column;
    bool at_seven = false;
    for (const auto& fault : check().faults) at_seven = at_seven || fault.sequence == 7;
    EXPECT_TRUE(at_seven) << column;
    tamper_quietly("INSERT OR REPLACE INTO entries SELECT * FROM kept; DROP TABLE kept");
    ASSERT_TRUE(check().sound()) << column << ": " << check().faults.front().words;
  }
}

TEST_F(VerifyTest, RemovedFromTheMiddle) {
  tamper_quietly("DELETE FROM entries WHERE sequence IN (5, 6)");
  const auto report = check();
  expect_fault(report, 7, "entries 5 to 6 are missing");
}

TEST_F(VerifyTest, RenumberedToHideAHole) {
  tamper_quietly(
      "DELETE FROM entries WHERE sequence = 5; UPDATE entries SET sequence = sequence - 1 WHERE "
      "sequence > 5");
  expect_fault(check(), 5, "the chain is broken");
}

TEST_F(VerifyTest, ATailCutOffNeedsAnAnchor) {
  const Anchor anchor{10, links_.back().hash};
  tamper_quietly("DELETE FROM entries WHERE sequence > 8");
  EXPECT_TRUE(check().sound()) << "this is what an anchor is for";
  expect_fault(check(anchor), 0, "its tail was cut off");
}

TEST_F(VerifyTest, RulesRemoved) {
  tamper("DROP TRIGGER entries_stay");
  expect_fault(check(), 0, "'entries_stay' has been removed");
}

TEST_F(VerifyTest, StrangersInTheStore) {
  tamper("CREATE TABLE notes (x)");
  expect_fault(check(), 0, "'notes' does not belong");
}

TEST_F(VerifyTest, WrittenAnewWithAnotherKey) {
  const auto other = verify(path(), SigningKey::generate().public_key(), {});
  ASSERT_TRUE(other);
  expect_fault(*other, 0, "names another key");
  expect_fault(*other, 1, "not signed by this key");
}

TEST_F(VerifyTest, DamagedBytes) {
  const auto size = std::filesystem::file_size(path());
  for (std::uintmax_t at = 100; at < size; at += 997) {
    const auto copy = (folder_ / "copy.db").string();
    std::filesystem::copy_file(path(), copy, std::filesystem::copy_options::overwrite_existing);
    std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.write("\xa5\x5a\xff\x01", 4);
    file.close();
    (void)verify(copy, key_.public_key(), {});  // some bytes are unused: no crash is what counts
  }
}

TEST_F(VerifyTest, NotAStore) {
  const auto text = (folder_ / "text").string();
  std::ofstream(text) << "hello";
  EXPECT_FALSE(verify(text, {}, {}));
  EXPECT_FALSE(verify((folder_ / "none").string(), {}, {}));
}

}  // namespace
