// A guest that is started anew while its old kernel still lies in RAM, and what only looks like it.
#include "linux/boot_watch.h"

#include <gtest/gtest.h>

#include "linux/kernel.h"
#include "memory/passing_memory.h"
#include "support/lab.h"

namespace vitrine::linux {
namespace {

using namespace std::chrono_literals;

/// RAM of a process that loses it.
class LosingMemory final : public PassingMemory {
 public:
  explicit LosingMemory(const PhysicalMemory& inner) : PassingMemory(inner) {}
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override {
    if (lost) return fail(Errc::vanished, from.value, "the process is gone");
    return inner().read(from, into);
  }
  std::size_t read_batch(std::span<BatchRead> batch) const override {
    return PhysicalMemory::read_batch(batch);
  }
  [[nodiscard]] Bytes window(Gpa, std::uint64_t) const noexcept override { return {}; }

  bool lost = false;
};

/// The lab, with registers that a test changes.
class Restarted final : public Machine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "restarted"; }
  [[nodiscard]] bool live() const noexcept override { return true; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return ram; }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    ++asked;
    auto all = lab.registers();
    if (busy) return std::unexpected(Problem(silence, "busy"));
    if (all && firmware) all->front().cr0 &= ~(1ULL << 31);
    if (all && table) all->front().cr3 = table->value;
    return all;
  }
  [[nodiscard]] std::vector<std::string> notes() const override { return {}; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return {}; }
  [[nodiscard]] bool alive() const noexcept override { return true; }
  [[nodiscard]] MapSource map_source() const noexcept override { return lab.map_source(); }

  test::Lab lab{test::LabOptions{}};
  LosingMemory ram{lab.memory()};
  bool firmware = false, busy = false;
  Errc silence = Errc::timeout;
  std::optional<Gpa> table;
  mutable int asked = 0;
};

class BootWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    auto attached = Kernel::attach(machine, {});
    ASSERT_TRUE(attached) << attached.error().message;
    kernel = std::move(*attached);
    watch.emplace(*kernel);
    machine.asked = 0;
  }
  bool after(BootWatch::Clock::duration time) { return watch->same(now += time); }

  Restarted machine;
  std::unique_ptr<Kernel> kernel;
  std::optional<BootWatch> watch;
  BootWatch::Clock::time_point now = BootWatch::Clock::now();
};

TEST_F(BootWatchTest, AKernelThatRunsOnIsTheSameAndTheMonitorIsAskedOnceASecond) {
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(after(100ms));
  EXPECT_GE(machine.asked, 9);
  EXPECT_LE(machine.asked, 10);
}

TEST_F(BootWatchTest, FirmwareIsNoticedAndStaysNoticed) {
  machine.firmware = true;
  EXPECT_TRUE(after(2s));
  EXPECT_FALSE(after(200ms));
  machine.firmware = false;
  EXPECT_FALSE(after(2s));
}

TEST_F(BootWatchTest, TablesThatMapTheKernelElsewhereAreAnotherKernels) {
  machine.table = Gpa{0x1000};
  EXPECT_TRUE(after(2s));
  EXPECT_FALSE(after(200ms));
}

TEST_F(BootWatchTest, SystemManagementModeIsNoReboot) {
  machine.firmware = true;
  EXPECT_TRUE(after(2s));
  machine.firmware = false;
  EXPECT_TRUE(after(200ms));
  EXPECT_TRUE(after(2s));
}

TEST_F(BootWatchTest, AGuestOfTheGuestIsNoRebootWhileTheClockGoesOn) {
  machine.table = Gpa{0x1000};
  const auto jiffies = machine.lab.physical(*kernel->symbol("jiffies"));
  for (std::uint64_t i = 1; i < 20; ++i) {
    machine.lab.forge().put(jiffies, i);
    EXPECT_TRUE(after(500ms));
  }
}

TEST_F(BootWatchTest, AMonitorThatIsBusyIsLetBeForHalfAMinute) {
  machine.busy = true;
  EXPECT_TRUE(after(2s));
  machine.busy = false;
  machine.firmware = true;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(after(2s));
  EXPECT_EQ(machine.asked, 1);
  EXPECT_TRUE(after(15s));
  EXPECT_FALSE(after(200ms));
}

TEST_F(BootWatchTest, AMachineWithoutAMonitorIsAskedOnce) {
  machine.busy = true;
  machine.silence = Errc::unsupported;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(after(60s));
  EXPECT_EQ(machine.asked, 1);
}

TEST_F(BootWatchTest, RamThatIsLostIsNoOtherKernel) {
  machine.ram.lost = true;
  kernel->refresh();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(after(1s));
  machine.ram.lost = false;
  EXPECT_TRUE(after(1s));
}

TEST_F(BootWatchTest, TablesThatAreOverwrittenAreNoticedAtOnce) {
  auto& ram = machine.lab.forge();
  for (std::uint64_t at = 0; at < 2 * kPageSize; at += 8)
    ram.put(machine.lab.physical(*kernel->symbol("init_top_pgt")) + at, std::uint64_t{0});
  kernel->refresh();
  EXPECT_FALSE(after(1ms));
}

}  // namespace
}  // namespace vitrine::linux
