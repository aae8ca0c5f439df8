#include "probe/planner.h"

#include <gtest/gtest.h>

#include "probe/block_needs.h"
#include "probe/source_settings.h"
#include "support/lab_source.h"
#include "vmipl/check.h"
#include "vmipl/render.h"

namespace vitrine::probe {
namespace {

using test::LabSource;

class OneView final : public vmipl::ViewPort {
 public:
  [[nodiscard]] std::optional<std::vector<vmipl::ViewColumn>> columns(
      std::string_view view) const override {
    if (view != "processes") return std::nullopt;
    return std::vector<vmipl::ViewColumn>{{"pid", vmipl::ColumnKind::integer}};
  }
  [[nodiscard]] std::vector<std::string> names() const override { return {"processes"}; }
};

vmipl::Program compiled(const std::string& text) {
  const vmipl::Source source("test.vmi", text);
  vmipl::Diagnostics diagnostics;
  const OneView views;
  auto checked = vmipl::check(source, {.ports = {.views = &views}}, diagnostics);
  EXPECT_TRUE(checked.program) << vmipl::render_text(source, diagnostics);
  return checked.program ? *std::move(checked.program) : vmipl::Program{};
}

std::string taken(const Plan& plan) {
  std::string out;
  for (const auto& probe : plan.probes)
    out += (out.empty() ? "" : " ") + (probe.source ? probe.source_name : "-");
  return out;
}

constexpr const char* kThree =
    "Syscall(openat) { Print(\"x\") }\nProcessExec { Print(\"y\") }\nEvery(1s) { Print(\"z\") }\n";

TEST(Planner, the_cheapest_source_that_can_takes_a_probe) {
  LabSource agent("agent"), stub("gdbstub"), clock("clock");
  agent.offer_by_name = {{"Syscall", LabSource::can(CostClass::at_event)}};
  stub.offer_by_name = {{"Syscall", LabSource::can(CostClass::stop)},
                        {"ProcessExec", LabSource::can(CostClass::stop)}};
  clock.offer_by_name = {{"Every", LabSource::can(CostClass::none)}};
  EventSource* const sources[] = {&stub, &agent, &clock};
  const auto made = plan(compiled(kThree), sources);
  EXPECT_EQ(taken(made), "agent gdbstub clock");
  EXPECT_TRUE(made.complete());
  EXPECT_EQ(made.of(0), std::vector<std::uint32_t>{1});
  ASSERT_EQ(made.warnings().size(), 1U);
  EXPECT_EQ(made.warnings()[0],
            "gdbstub stops the whole machine at each event, for milliseconds (line 2)");
}

TEST(Planner, what_sees_every_event_comes_before_what_is_cheaper) {
  LabSource stub("gdbstub"), polling("polling"), clock("clock");
  stub.offer_by_name = {{"ProcessExec", LabSource::can(CostClass::stop)}};
  polling.offer_by_name = {{"ProcessExec", LabSource::can(CostClass::none, Coverage::between)}};
  EventSource* const sources[] = {&stub, &polling};
  const auto program = compiled("ProcessExec { Print(\"y\") }");
  EXPECT_EQ(taken(plan(program, sources)), "gdbstub");
  const auto asked = plan(program, sources, {.prefer_polling = true});
  EXPECT_EQ(taken(asked), "polling");
  ASSERT_EQ(asked.warnings().size(), 1U);
  EXPECT_NE(asked.warnings()[0].find("missed (line 1)"), std::string::npos);
  // Polling is not taken before what does not stop the machine.
  stub.offer_by_name = {{"ProcessExec", LabSource::can(CostClass::at_event)}};
  EXPECT_EQ(taken(plan(program, sources, {.prefer_polling = true})), "gdbstub");
}

TEST(Planner, what_polling_may_miss_is_told_with_its_window) {
  LabSource polling("polling");
  auto offer = LabSource::can(CostClass::none, Coverage::between);
  offer.window_ns = 50'000'000;
  polling.offer_by_name = {{"ProcessExec", offer}};
  EventSource* const sources[] = {&polling};
  const auto made = plan(compiled("ProcessExec { Print(\"y\") }"), sources);
  ASSERT_EQ(made.warnings().size(), 1U);
  EXPECT_EQ(made.warnings()[0],
            "polling compares one look with the next: what begins and ends between two looks, 50ms "
            "apart, is missed (line 1)");
}

TEST(Planner, what_a_probe_waits_for_is_told_once_by_its_lines) {
  LabSource agent("agent");
  auto offer = LabSource::can(CostClass::at_event);
  offer.waits = "the module evil is not loaded: nothing fires until it is";
  agent.offer_by_name = {{"ExecuteAt", offer}};
  EventSource* const sources[] = {&agent};
  const auto made = plan(compiled("ExecuteAt(\"evil:a\") { Print(\"y\") }\n"
                                  "ExecuteAt(\"evil:b*\") { Print(\"y\") }"),
                         sources);
  ASSERT_EQ(made.warnings().size(), 1U);
  EXPECT_EQ(made.warnings()[0],
            "the module evil is not loaded: nothing fires until it is (lines 1, 2)");
}

TEST(SourceSettings, the_command_line_comes_before_the_script) {
  const auto program =
      compiled("Configuration { PollPeriod: 250ms RateLimit: 7 }\nProcessExec { Print(\"y\") }");
  const auto scripts = settings_of(program);
  EXPECT_EQ(scripts.poll_period, std::chrono::milliseconds(250));
  EXPECT_EQ(scripts.rate_limit, 7U);
  const auto both =
      settings_of({.poll_period = std::chrono::milliseconds(10), .rate_limit = {}}, program);
  EXPECT_EQ(both.poll_period, std::chrono::milliseconds(10));
  EXPECT_EQ(both.rate_limit, 7U);
  EXPECT_EQ(settings_of({.poll_period = {}, .rate_limit = 0}, program).rate_limit, 0U);
  EXPECT_FALSE(settings_of(compiled("ProcessExec { Print(\"y\") }")).rate_limit);
}

TEST(Planner, of_equals_the_first_of_the_ladder) {
  LabSource one("one"), two("two");
  one.offer_by_name = two.offer_by_name = {{"Start", LabSource::can(CostClass::none)}};
  EventSource* const sources[] = {&one, &two};
  EXPECT_EQ(taken(plan(compiled("Start { Print(\"y\") }"), sources)), "one");
}

TEST(Planner, a_probe_that_none_can_do_is_refused_by_line_with_reason_and_remedy) {
  LabSource agent("agent"), clock("clock");
  clock.offer_by_name = {{"Every", LabSource::can(CostClass::none)}};
  EventSource* const sources[] = {&agent, &clock};
  const auto made = plan(compiled(kThree), sources);
  EXPECT_EQ(taken(made), "- - clock");
  EXPECT_FALSE(made.complete());
  const auto refusals = made.refusals();
  ASSERT_EQ(refusals.size(), 2U);
  EXPECT_EQ(refusals[0].message, "line 1: Syscall(openat) cannot be had: agent cannot");
  EXPECT_EQ(refusals[0].hint, "ask agent");
  const auto text = describe(made);
  EXPECT_NE(text.find("refused"), std::string::npos);
  EXPECT_NE(text.find("agent cannot; ask agent"), std::string::npos);
}

TEST(Planner, without_any_source_everything_is_refused) {
  const auto made = plan(compiled(kThree), {});
  EXPECT_EQ(taken(made), "- - -");
  EXPECT_EQ(made.refusals().size(), 3U);
}

TEST(Planner, what_is_too_much_for_a_source_goes_to_the_next) {
  LabSource small("small"), large("large");
  small.room = 1;
  small.offer_by_name = {{"Syscall", LabSource::can(CostClass::at_event)},
                         {"ProcessExec", LabSource::can(CostClass::at_event)}};
  large.offer_by_name = {{"ProcessExec", LabSource::can(CostClass::stop)}};
  EventSource* const sources[] = {&small, &large};
  const auto made = plan(
      compiled(
          "Syscall { Print(\"x\") }\nProcessExec { Print(\"y\") }\nSyscall(0) { Print(\"z\") }\n"),
      sources);
  EXPECT_EQ(taken(made), "small large -");
  EXPECT_EQ(made.probes[1].others.at(0).offer.reason, "no room");
}

TEST(Planner, an_empty_program_has_an_empty_plan) {
  const auto made = plan({}, {});
  EXPECT_TRUE(made.complete());
  EXPECT_TRUE(made.probes.empty());
}

TEST(BlockNeeds, are_read_off_the_code) {
  const auto program = compiled(
      "Syscall(openat) { Print(\"%s %s\", process.name, string(arg1)) }\n"
      "ProcessExit { @gone[event.code] = count() }\n"
      "ExecuteAt(0xffffffff81000000) { ReadRegister(EAX, #c) ReadMemoryAt(EBX, 8, 0, #c) }\n"
      "Every(1s) { for (p in processes) { Print(\"%d\", listed(p.pid)) } Snapshot(\"/tmp/x\") }\n"
      "ReadAt(0x1000) { Pause() }\n");
  const auto first = block_needs(program, 0);
  EXPECT_TRUE(first.reads_memory && first.arguments && first.moment && first.local());
  EXPECT_EQ(first.moments.size(), 2U);
  const auto second = block_needs(program, 1);
  EXPECT_TRUE(second.maps && second.local() && !second.moment);
  EXPECT_EQ(second.fields, std::vector<std::uint8_t>{0});
  const auto third = block_needs(program, 2);
  EXPECT_TRUE(third.register_values && third.reads_memory && third.local());
  const auto fourth = block_needs(program, 3);
  EXPECT_TRUE(fourth.views && fourth.listed && fourth.host_data && !fourth.local());
  EXPECT_TRUE(block_needs(program, 4).control);
  EXPECT_EQ(written(program.probes[0]), "Syscall(openat)");
  EXPECT_EQ(written(program.probes[3]), "Every(1s)");
}

}  // namespace
}  // namespace vitrine::probe
