// Policies: what they say, and how a mistake is told.
#include "fvm/guard/policy.h"

#include <gtest/gtest.h>

using namespace vitrine;
using namespace vitrine::fvm;
using symptom::Severity;

namespace {

TEST(PolicyText, BySeverityAndBySymptom) {
  const auto policy = Policy::parse(R"(
dry_run = true
[severity]
critical = ["stop", "snapshot", "freeze"]
[symptom.reverse_shell]
actions = ["isolate"]
[throttle]
percent = 5
)",
                                    "p.toml");
  ASSERT_TRUE(policy) << policy.error().message;
  EXPECT_TRUE(policy->dry_run);
  EXPECT_EQ(policy->throttle_percent, 5U);
  EXPECT_EQ(policy->actions("x", Severity::critical),
            (std::vector{Action::freeze, Action::log, Action::snapshot, Action::stop}));
  EXPECT_EQ(policy->actions("reverse_shell", Severity::critical),
            (std::vector{Action::isolate, Action::log}));
  EXPECT_EQ(policy->actions("x", Severity::low), (std::vector{Action::log}));
}

TEST(PolicyText, EveryMistakeIsToldWithItsLine) {
  const auto policy = Policy::parse(
      "dry_run = 1\n[severity]\ncritcal = []\nhigh = [\"frezze\", 3]\n[throttle]\npercent = "
      "100\n[symptom]\nx = 2\n",
      "p.toml");
  ASSERT_FALSE(policy);
  const auto& words = policy.error().message;
  for (const auto* part :
       {"p.toml:1: dry_run is true or false",
        "p.toml:3: there is no severity \"critcal\"; did you mean \"critical\"?",
        "p.toml:4: there is no action \"frezze\"; did you mean \"freeze\"?",
        "p.toml:4: an action is a word in quotes", "p.toml:6: percent is a number from 1 to 99",
        "p.toml:8: symptom.x is a table"}) {
    EXPECT_NE(words.find(part), std::string::npos) << part << "\nin:\n" << words;
  }
}

TEST(PolicyText, WhatIsNoTomlIsToldWithItsLine) {
  const auto policy = Policy::parse("dry_run = false\n[severity\n", "p.toml");
  ASSERT_FALSE(policy);
  EXPECT_NE(policy.error().message.find("p.toml:2: "), std::string::npos) << policy.error().message;
}

TEST(PolicyText, TheUsualOneDoesNothing) { EXPECT_TRUE(Policy::usual().dry_run); }

}  // namespace
