#include "symptom/known_findings.h"

#include <gtest/gtest.h>

namespace vitrine::symptom {
namespace {

Finding finding(std::uint64_t identity, Severity severity = Severity::medium) {
  Finding made;
  made.identity = identity;
  made.severity = severity;
  return made;
}
bool wholly(std::size_t) { return true; }

using Seen = KnownFindings::Seen;

TEST(KnownFindings, TheSameAgainKeepsItsBeginAndCountsPasses) {
  KnownFindings known(10);
  EXPECT_EQ(known.see(finding(1), 0, 100), Seen::fresh);
  EXPECT_EQ(known.see(finding(1), 0, 100), Seen::again);  // twice in one pass
  EXPECT_EQ(known.see(finding(1), 0, 200), Seen::again);
  const auto all = known.all();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].first_seen, 100);
  EXPECT_EQ(all[0].last_seen, 200);
  EXPECT_EQ(all[0].times, 2U);
}

TEST(KnownFindings, OnlyWhatWasLookedForWhollyIsGone) {
  KnownFindings known(10);
  known.see(finding(1), 0, 100);
  known.see(finding(2), 1, 100);
  known.see(finding(3), 0, 200);
  EXPECT_TRUE(known.settle(200, [](std::size_t) { return false; }).empty());
  const auto gone = known.settle(200, [](std::size_t symptom) { return symptom == 0; });
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0].identity, 1U);
  EXPECT_EQ(known.size(), 2U);
}

TEST(KnownFindings, WhoToldItLastTellsThatItIsGone) {
  KnownFindings known(10);
  known.see(finding(1), 0, 100);
  known.see(finding(1), 1, 200);
  EXPECT_TRUE(known.settle(300, [](std::size_t symptom) { return symptom == 0; }).empty());
  EXPECT_EQ(known.settle(300, wholly).size(), 1U);
}

TEST(KnownFindings, BeyondTheMostNothingIsTakenAndWhatStandsStays) {
  KnownFindings known(2);
  known.see(finding(1), 0, 100);
  known.see(finding(2), 0, 100);
  EXPECT_EQ(known.see(finding(3), 0, 100), Seen::dropped);
  EXPECT_EQ(known.see(finding(2), 0, 200), Seen::again);
  EXPECT_EQ(known.settle(200, wholly).size(), 1U);
  EXPECT_EQ(known.see(finding(3), 0, 300), Seen::fresh);
}

TEST(KnownFindings, TheSeverestComeFirstThenTheOldest) {
  KnownFindings known(10);
  known.see(finding(1, Severity::low), 0, 100);
  known.see(finding(2, Severity::critical), 0, 300);
  known.see(finding(3, Severity::critical), 0, 200);
  const auto all = known.all();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].identity, 3U);
  EXPECT_EQ(all[1].identity, 2U);
  EXPECT_EQ(all[2].identity, 1U);
}

}  // namespace
}  // namespace vitrine::symptom
