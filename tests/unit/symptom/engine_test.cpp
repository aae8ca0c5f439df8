#include "symptom/engine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "linux/kernel.h"
#include "support/lab.h"

namespace vitrine::symptom {
namespace {

using test::Lab;

/// The lab's kernel has 2,200 symbols: rows enough for any flood.
class EngineOnLab : public testing::Test {
 protected:
  void SetUp() override {
    auto kernel = linux::Kernel::attach(lab_, {});
    ASSERT_TRUE(kernel) << kernel.error().message;
    kernel_ = *std::move(kernel);
  }

  std::unique_ptr<Engine> engine(std::initializer_list<std::string> files,
                                 EngineOptions options = {}) {
    Pack pack;
    int number = 0;
    for (const auto& text : files)
      pack.add({PackFile::Kind::symptoms, "rule" + std::to_string(number++) + ".vmi", text});
    auto made = Engine::create(*kernel_, pack, std::move(options));
    EXPECT_TRUE(made) << made.error().message;
    return made ? *std::move(made) : nullptr;
  }

  static std::string symptom(std::string_view name, std::string_view block) {
    return "Symptom " + std::string(name) + " { severity: high\n text: \"t\"\n Every(1s) { " +
           std::string(block) + " } }\n";
  }

  static bool told(const std::vector<std::string>& all, std::string_view part) {
    return std::ranges::any_of(all, [&](const std::string& one) { return one.contains(part); });
  }

  Lab lab_{{}};
  std::unique_ptr<linux::Kernel> kernel_;
};

constexpr PassScope kAll{.all = true, .pids = {}};

TEST_F(EngineOnLab, ARuleWithAMistakeIsToldAndTheRestRuns) {
  const auto e = engine({symptom("broken", "for (s in symbol) Report(\"%s\", s.name)"),
                         symptom("sound", "Report(\"here\")")});
  ASSERT_TRUE(e);
  EXPECT_TRUE(told(e->problems(), "rule0.vmi:3"));
  EXPECT_TRUE(told(e->problems(), "symbols"));  // the hint
  const auto report = e->pass(kAll);
  ASSERT_EQ(report.fresh.size(), 1U);
  EXPECT_EQ(report.fresh[0].symptom, "sound");
  EXPECT_EQ(report.fresh[0].severity, Severity::high);
}

TEST_F(EngineOnLab, APackWithNothingToRunIsRefused) {
  Pack pack;
  pack.add({PackFile::Kind::symptoms, "bad.vmi", "Symptom {"});
  const auto made = Engine::create(*kernel_, pack, {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::invalid);
  EXPECT_TRUE(made.error().hint.contains("bad.vmi"));
}

TEST_F(EngineOnLab, ARuleWithoutAnEndIsEndedAndSaidAndHidesNoOther) {
  const auto e =
      engine({symptom("endless",
                      "let n = 0\n for (a in 0..1000000) for (b in 0..1000000) n = n + b\n "
                      "Report(\"%d\", n)"),
              symptom("sound", "Report(\"here\")")});
  ASSERT_TRUE(e);
  const auto report = e->pass(kAll);
  EXPECT_TRUE(told(report.notes, "endless: over its budget"));
  ASSERT_EQ(report.fresh.size(), 1U);
  EXPECT_EQ(report.fresh[0].symptom, "sound");
}

TEST_F(EngineOnLab, APassThatTakesTooLongIsCutAndGoesOnWhereItStopped) {
  std::vector<std::string> names;
  const auto slow = [](std::string_view name) {
    return symptom(name,
                   "let n = 0\n for (a in 0..1000) for (b in 0..1000) n = n + b\n Report(\"x\")");
  };
  const auto e = engine({slow("one"), slow("two"), slow("three")},
                        {.allow = {}, .pass_limit = std::chrono::milliseconds(1)});
  ASSERT_TRUE(e);
  for (int pass = 0; pass < 3; ++pass) {
    const auto report = e->pass(kAll);
    EXPECT_EQ(report.fresh.size(), 1U) << pass;  // one each pass, none twice
    EXPECT_TRUE(told(report.notes, "the pass took its 1 ms"));
    EXPECT_TRUE(report.gone.empty());  // what was not looked for is not gone
    for (const auto& finding : report.fresh) names.push_back(finding.symptom);
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"one", "three", "two"}));
}

TEST_F(EngineOnLab, TheSameRowIsOneFindingHoweverOftenItIsReported) {
  const auto e = engine({symptom("again",
                                 "for (s in symbols) if (s.name == \"init_task\") "
                                 "for (n in 0..500) Report(\"%s %d\", s.name, n)")});
  ASSERT_TRUE(e);
  EXPECT_EQ(e->pass(kAll).fresh.size(), 1U);
  const auto report = e->pass(kAll);
  EXPECT_TRUE(report.fresh.empty());
  ASSERT_EQ(e->findings().size(), 1U);
  EXPECT_EQ(e->findings()[0].times, 2U);  // passes, not reports
}

TEST_F(EngineOnLab, AFloodIsLimitedAndCounted) {
  EngineOptions options;
  options.max_findings = 100;
  const auto e = engine({symptom("flood", "for (s in symbols) Report(\"%s\", s.name)")}, options);
  ASSERT_TRUE(e);
  const auto report = e->pass(kAll);
  EXPECT_EQ(report.fresh.size(), 100U);
  EXPECT_EQ(report.known, 100U);
  EXPECT_GE(report.dropped, 2'000U);
  EXPECT_TRUE(told(report.notes, "findings beyond 100 were dropped"));
}

TEST_F(EngineOnLab, AnAllowListDropsAndCounts) {
  const auto rule = symptom("listed",
                            "for (s in symbols) if (s.name == \"init_task\" || s.name == "
                            "\"linux_banner\") Report(\"%s\", s.name)");
  const auto all = engine({rule});
  ASSERT_TRUE(all);
  const auto before = all->pass(kAll).fresh.size();
  ASSERT_GE(before, 2U);
  const auto e = engine({rule}, {.allow = {"finding.message == \"init_task\""}});
  ASSERT_TRUE(e);
  const auto report = e->pass(kAll);
  EXPECT_EQ(report.fresh.size() + report.allowed, before);
  EXPECT_GE(report.allowed, 1U);
  EXPECT_TRUE(std::ranges::none_of(report.fresh,
                                   [](const Finding& f) { return f.message == "init_task"; }));
}

TEST_F(EngineOnLab, AnAllowListWithAMistakeIsRefused) {
  Pack pack;
  pack.add({PackFile::Kind::symptoms, "sound.vmi", symptom("sound", "Report(\"here\")")});
  for (const char* expression : {"finding.sympton == \"x\"", "1 +", "", "true) Report(\"x\""}) {
    const auto made = Engine::create(*kernel_, pack, {.allow = {expression}});
    EXPECT_FALSE(made) << expression;
    if (!made) {
      EXPECT_EQ(made.error().code, Errc::invalid) << expression;
    }
  }
}

TEST_F(EngineOnLab, WhatIsUndoneIsGone) {
  const auto banner = kernel_->symbols().find("linux_banner");
  ASSERT_TRUE(banner);
  const auto e = engine({symptom("banner",
                                 "if (!starts_with(string(&linux_banner), \"Linux\")) "
                                 "Report(\"changed\")")});
  ASSERT_TRUE(e);
  EXPECT_TRUE(e->pass(kAll).fresh.empty());
  const auto at = lab_.physical(*banner);
  lab_.forge().put(at, 'X');
  kernel_->refresh();
  EXPECT_EQ(e->pass(kAll).fresh.size(), 1U);
  lab_.forge().put(at, 'L');
  kernel_->refresh();
  const auto report = e->pass(kAll);
  ASSERT_EQ(report.gone.size(), 1U);
  EXPECT_EQ(report.gone[0].symptom, "banner");
  EXPECT_TRUE(e->findings().empty());
}

TEST_F(EngineOnLab, BytesThatMatchNoMoreAreGone) {
  const auto banner = kernel_->symbols().find("linux_banner");
  ASSERT_TRUE(banner);
  Pack pack;
  pack.add({PackFile::Kind::patterns, "memory.yar",
            "rule marked { strings: $a = \"vitrine-was-here-7d1c\" condition: $a }"});
  const auto made = Engine::create(*kernel_, pack, {});
  ASSERT_TRUE(made) << made.error().message;
  const auto& e = *made;
  EXPECT_TRUE(e->pass(kAll).fresh.empty());
  constexpr std::string_view kMark = "vitrine-was-here-7d1c";
  const auto at = lab_.physical(*banner);
  const auto write = [&](bool marked) {
    for (std::size_t i = 0; i < kMark.size(); ++i)
      lab_.forge().put(at + i, marked ? kMark[i] : 'x');
    kernel_->refresh();
  };
  write(true);
  const auto shown = e->pass(kAll);
  ASSERT_EQ(shown.fresh.size(), 1U);
  EXPECT_EQ(shown.fresh[0].symptom, "pattern_marked");
  EXPECT_TRUE(e->pass(kAll).gone.empty());
  write(false);
  const auto report = e->pass(kAll);
  ASSERT_EQ(report.gone.size(), 1U);
  EXPECT_EQ(report.gone[0].identity, shown.fresh[0].identity);
  EXPECT_TRUE(e->findings().empty());
}

TEST_F(EngineOnLab, AViewThatThisKernelLacksIsSaidAndNotGuessed) {
  const auto e = engine({symptom("hooks", "for (h in scheduled) Report(\"%d\", h.pid)"),
                         symptom("sound", "Report(\"here\")")});
  ASSERT_TRUE(e);
  const auto states = e->symptoms();
  const auto hooks = std::ranges::find(states, "hooks", &Engine::SymptomState::name);
  ASSERT_NE(hooks, states.end());
  EXPECT_FALSE(hooks->runs);
  EXPECT_TRUE(hooks->why.contains("scheduled"));
}

TEST_F(EngineOnLab, WhatARuleMayNotDoIsTold) {
  const auto e =
      engine({symptom("acts", "Pause()\n Report(\"x\")"), symptom("waits", "Report(\"y\")"),
              "Symptom event { severity: low\n text: \"t\"\n ProcessStart { "
              "Report(\"z\") } }\n"});
  ASSERT_TRUE(e);
  EXPECT_FALSE(e->problems().empty());  // of Pause
  const auto states = e->symptoms();
  const auto event = std::ranges::find(states, "event", &Engine::SymptomState::name);
  ASSERT_NE(event, states.end());
  EXPECT_FALSE(event->runs);
  EXPECT_TRUE(event->why.contains("an event of the guest"));
}

/// Whatever a guest writes into its own memory: a pass ends, and says what it could not see.
TEST_F(EngineOnLab, ForgedMemoryNeverHangsAPass) {
  const auto e =
      engine({symptom("names", "for (s in symbols) if (s.name == \"nobody\") Report(\"x\")"),
              symptom("tasks", "Report(\"%s\", string(&init_task, 4096))")},
             {.allow = {}, .pass_limit = std::chrono::milliseconds(2000)});
  ASSERT_TRUE(e);
  std::uint64_t state = 88172645463325252ULL;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 64; ++i) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      const auto at = lab_.text_physical() + (state >> 8) % (lab_.image_size() - 8);
      lab_.forge().put(at, state);
    }
    kernel_->refresh();
    const auto report = e->pass(kAll);
    EXPECT_LT(report.took, std::chrono::seconds(20));
  }
}

}  // namespace
}  // namespace vitrine::symptom
