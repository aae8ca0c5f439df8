// Words that name no machine: what is said of them.
#include "machine/open.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "machine/qemu_machine.h"
#include "machine/run_state.h"
#include "machine/summary.h"

namespace vitrine {
namespace {

std::string refusal(const std::string& word) {
  const auto machine = open_machine(word);
  return machine ? "opened" : machine.error().message;
}

TEST(Open, APathThatLeadsNowhereIsNoMachinesName) {
  EXPECT_EQ(refusal("/nonexistent/memory.elf"), "there is no /nonexistent/memory.elf");
  EXPECT_EQ(refusal("/tmp"), "/tmp is a directory");
  EXPECT_EQ(refusal("/dev/null"), "/dev/null is neither a plain file nor a machine");
  EXPECT_EQ(refusal("/dev/null/x"), "/dev/null/x: Not a directory");
}

/// A core of x86-64 with one note and nothing else.
std::vector<char> core_with_note(std::uint32_t type) {
  std::vector<char> file(4096);
  const auto put = [&](std::size_t at, auto value) {
    std::memcpy(&file[at], &value, sizeof value);
  };
  std::memcpy(file.data(),
              "\x7f"
              "ELF\x02\x01\x01",
              7);
  put(16, std::uint16_t{4});    // a core
  put(18, std::uint16_t{62});   // x86-64
  put(32, std::uint64_t{64});   // program headers
  put(54, std::uint16_t{56});   // of this size
  put(56, std::uint16_t{1});    // one
  put(64, std::uint32_t{4});    // a note
  put(72, std::uint64_t{512});  // there
  put(96, std::uint64_t{28});   // so long
  put(512, std::uint32_t{5});
  put(516, std::uint32_t{8});
  put(520, type);
  std::memcpy(&file[524], "CORE", 5);
  return file;
}

TEST(Open, TheCoreOfAProcessIsNoMachine) {
  const auto path =
      (std::filesystem::temp_directory_path() / ("vitrine-core-" + std::to_string(getpid())))
          .string();
  constexpr std::uint32_t kAuxiliaryVector = 6;
  const auto core = core_with_note(kAuxiliaryVector);
  std::ofstream(path, std::ios::binary)
      .write(core.data(), static_cast<std::streamsize>(core.size()));
  EXPECT_EQ(refusal(path), path + " is the core of a process, not the memory of a machine");
  std::filesystem::remove(path);
}

TEST(Open, AConfidentialGuestIsRefusedByItsKind) {
  QemuProcess process;
  process.pid = ::getpid();
  process.options.name = "vault";
  process.options.machine["confidential-guest-support"] = "sev0";
  const auto machine = open_qemu(process);
  ASSERT_FALSE(machine.has_value());
  EXPECT_EQ(machine.error().code, Errc::unsupported);
  EXPECT_TRUE(machine.error().message.starts_with(
      "vault is a confidential guest (confidential-guest-support=sev0)"))
      << machine.error().message;
  const auto summary = summarize(process);
  EXPECT_EQ(summary.ram, "");
  EXPECT_TRUE(summary.remark.starts_with("a confidential guest (confidential-guest-support=sev0)"));
}

TEST(RunState, OfAMachineThatIsNotWholeIsToldAndNoOthers) {
  EXPECT_NE(doubt_of_run_state("inmigrate"), "");
  EXPECT_NE(doubt_of_run_state("postmigrate"), "");
  for (const auto* state : {"running", "paused", "prelaunch", "shutdown", "suspended", ""})
    EXPECT_EQ(doubt_of_run_state(state), "") << state;
}

}  // namespace
}  // namespace vitrine
