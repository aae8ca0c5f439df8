// Changes of programs, with a QEMU that comes by when the test says so.
#include "probe/agent/tcg_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace vitrine::probe {
namespace {

/// What QEMU was told, as its interface is told it: by functions without data.
struct FakeQemu {
  static inline std::atomic<VcpuCallback> idle = nullptr;
  static inline SimpleCallback flush = nullptr;
  static inline int resets = 0;

  static PluginApi api() {
    idle = nullptr;
    flush = nullptr;
    resets = 0;
    PluginApi api;
    api.vcpu_count = [] { return 1; };
    api.reset = [](PluginId id, SimpleCallback done) {
      ++resets;
      done(id);
    };
    api.on_vcpu_init = [](PluginId, VcpuCallback, void*) {};
    api.on_vcpu_idle = [](PluginId, VcpuCallback callback, void*) { idle = callback; };
    api.on_vcpu_resume = [](PluginId, VcpuCallback, void*) {};
    api.on_block = [](PluginId, BlockCallback, void*) {};
    api.on_flush = [](PluginId, SimpleCallback callback) { flush = callback; };
    return api;
  }
};

class NoHost final : public HeldHost {
 public:
  std::optional<Release> hold(Held&, std::uint32_t, const HeldWriter&) noexcept override {
    return std::nullopt;
  }
  bool note(const AgentNote&) noexcept override { return false; }
};

/// A guest's CPU that comes by once, as soon as anybody waits for one.
void one_cpu_comes(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (auto* comes = FakeQemu::idle.load(); comes != nullptr) return comes(1, 0);
    std::this_thread::yield();
  }
}

class TcgEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<RunningProgram> program(const PluginApi& api, std::size_t probes = 0) {
    AgentPlan plan;
    AgentProbe of_the_host;
    of_the_host.probe = AgentProbe::kNone;
    of_the_host.event = AgentEvent::module_watch;
    of_the_host.held = true;
    plan.probes.resize(probes, of_the_host);
    const auto code = vmipl::save(vmipl::Program{});
    plan.program.assign(code.begin(), code.end());
    const auto moments = save(MomentLayout{});
    plan.moments.assign(moments.begin(), moments.end());
    plan.ring_bytes = 4096;
    auto made = RunningProgram::create(std::move(plan), api, 1, host_);
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }
  NoHost host_;
};

TEST_F(TcgEngineTest, ProgramThatWasRefusedDoesNotRunLater) {
  const auto api = FakeQemu::api();
  TcgEngine engine(api, 1, 1, std::chrono::milliseconds(1));
  const auto done = engine.switch_to(program(api));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::timeout);
  ASSERT_NE(FakeQemu::idle.load(), nullptr);
  FakeQemu::idle.load()(1, 0);  // now one comes by
  EXPECT_EQ(FakeQemu::resets, 0);
  EXPECT_EQ(engine.running(), nullptr);
}

TEST_F(TcgEngineTest, ProbesThatAreElsewhereAreSoOnceACpuComes) {
  const auto api = FakeQemu::api();
  TcgEngine engine(api, 1, 1, std::chrono::milliseconds(200));
  std::jthread guest(one_cpu_comes);
  ASSERT_TRUE(engine.switch_to(program(api, 1)));
  guest.join();
  const AgentAim aim{0, {{0xffffffffc0000000, 7, 0}}, {}};
  engine.aim({aim, {1, aim.sites, {}}});  // the second is of no probe
  EXPECT_TRUE(engine.running()->plan().probes[0].sites.empty());
  FakeQemu::idle.load()(1, 0);
  EXPECT_EQ(FakeQemu::resets, 2);
  EXPECT_EQ(engine.running()->plan().probes[0].sites, aim.sites);
  FakeQemu::idle.load()(1, 0);  // that was all
  EXPECT_EQ(FakeQemu::resets, 2);
}

TEST_F(TcgEngineTest, ThatNothingIsToRunTakesEffectWhenOneComes) {
  const auto api = FakeQemu::api();
  TcgEngine engine(api, 1, 1, std::chrono::milliseconds(200));
  std::jthread guest(one_cpu_comes);
  ASSERT_TRUE(engine.switch_to(program(api)));
  guest.join();
  ASSERT_NE(engine.running(), nullptr);
  ASSERT_FALSE(engine.switch_to(nullptr));  // nobody comes
  EXPECT_NE(engine.running(), nullptr);
  FakeQemu::idle.load()(1, 0);
  EXPECT_EQ(engine.running(), nullptr);
  EXPECT_EQ(FakeQemu::resets, 2);
}

}  // namespace
}  // namespace vitrine::probe
