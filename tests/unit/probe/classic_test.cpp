// The four use cases of the published paper, written by its grammar: they parse, check and plan.
#include <gtest/gtest.h>

#include "probe/block_needs.h"
#include "probe/planner.h"
#include "vmipl/catalogue.h"
#include "vmipl/check.h"

namespace vitrine::probe {
namespace {

/// Offers everything, at a cost by kind: what a machine with the agent and its monitor has.
class Everything final : public EventSource {
 public:
  std::string_view name() const noexcept override { return "everything"; }
  std::vector<Offer> offers(const vmipl::Program& program) const override {
    std::vector<Offer> out;
    for (std::uint32_t i = 0; i < program.probes.size(); ++i) {
      const bool stream = vmipl::probes()[program.probes[i].probe].kind == vmipl::ProbeKind::stream;
      const auto needs = block_needs(program, i);
      out.push_back({true,
                     stream          ? CostClass::none
                     : needs.local() ? CostClass::at_event
                                     : CostClass::held,
                     Coverage::every,
                     "a test",
                     {},
                     {}});
    }
    return out;
  }
  Outcome<void> start(Assignment, EventSink&) override { return {}; }
  Outcome<void> replace(Assignment) override { return {}; }
  void stop() noexcept override {}
  Losses losses() const override { return {}; }
};

constexpr const char* kConfiguration = R"(Configuration {
	ProcessListHead: 0xc159e960
	TasksOffset: 440
	PIDOffset: 520
	ProcessNameOffset: 724
	MMStructOffset: 460
	ExeFileOffset: 380
	DEntryOffset: 12
	ParentOffset: 28
	DNameOffset: 36
	PGDOffset: 36
	SyscallDispatcherAddress: 0xc15780e8
	SyscallInterruptNumber: 128
	SyscallNumberLocation: EAX
}
)";

const char* const kCases[] = {
    // Network capture.
    "CaptureNetwork(52:54:00:12:34:56, /tmp/capture.pcap)\n",
    // A trace of system calls by their registers.
    "Syscall {\r\n\tReadRegister(EAX, #calls)\r\n\tReadRegister(EBX, "
    "#calls)\r\n\tRegisterHasValue(EAX, 0x0b) {\r\n\t\tReadRegister(CR3, "
    "/tmp/exec.txt)\r\n\t}\r\n}\r\n",
    // The page tables' register, and an address that is executed.
    "CRWrite(3) {\n    ReadRegister(CR3, #cr3)\n}\nExecuteAt(c1578123) {\n    ReadRegister(EIP, "
    "#eip)\n    ReadMemoryAt(ESP, 64, 0, #stack)\n}\n",
    // The processes, whenever an address is executed.
    "ExecuteAt(0xc1578123) {\n\tProcessList(PID, NAME, PATH, PGDP, #processes)\n}\n",
};

TEST(Classic, TheFourUseCasesParseCheckAndPlan) {
  for (const std::string script : kCases) {
    const vmipl::Source source("classic.vmi", kConfiguration + script);
    vmipl::Diagnostics diagnostics;
    const auto checked = vmipl::check(source, {.build = true}, diagnostics);
    for (const auto& diagnostic : diagnostics.items())
      EXPECT_FALSE(diagnostic.is_error()) << script << diagnostic.message;
    ASSERT_TRUE(checked.program) << script;
    EXPECT_EQ(checked.program->settings.size(), 13U);
    Everything source_of_all;
    EventSource* ladder[] = {&source_of_all};
    const auto planned = plan(*checked.program, ladder);
    EXPECT_TRUE(planned.complete()) << describe(planned);
    const auto none = plan(*checked.program, {});
    EXPECT_FALSE(none.complete());
    EXPECT_NE(none.refusals().front().message.find("line "), std::string::npos);
  }
}

}  // namespace
}  // namespace vitrine::probe
