// AgentEnvironment: what a program sees of one event, on the virtual CPU's own thread.
//
// Registers and memory are those of the event. Whatever it emits goes into the CPU's ring.
#pragma once

#include <memory>
#include <vector>

#include "probe/agent/event_at.h"
#include "probe/agent/guest_memory.h"
#include "probe/agent/ring.h"
#include "probe/agent/vcpu_registers.h"
#include "probe/environment.h"
#include "probe/moment_layout.h"
#include "probe/record.h"

namespace vitrine::probe {

class AgentEnvironment final : public Environment, private MomentMemory {
 public:
  /// All must outlive this.
  AgentEnvironment(const vmipl::Program& program, const AgentPlan& plan, const MomentLayout& layout,
                   const HostedRam& ram, VcpuRegisters& registers, RingWriter ring, unsigned vcpu);

  /// The event that is looked at from now on. Call on the CPU's thread.
  void begin(const EventAt& event) noexcept;
  [[nodiscard]] const EventAt& event() const { return *event_; }
  [[nodiscard]] GuestMemory& memory() {
    if (!memory_begun_) begin_memory();
    return memory_;
  }
  [[nodiscard]] VcpuRegisters& registers() { return registers_; }
  [[nodiscard]] RingWriter& ring() { return ring_; }

  /// The task that the CPU runs; 0 if that cannot be told.
  [[nodiscard]] std::uint64_t current_task() noexcept;
  /// The event's task: whom it is about.
  [[nodiscard]] std::uint64_t task() noexcept;
  [[nodiscard]] std::optional<std::uint64_t> argument(unsigned i) noexcept;
  [[nodiscard]] MomentReader& moments() { return reader_; }

  bool read(std::uint64_t va, MutableBytes into) noexcept override;
  bool read_physical(std::uint64_t gpa, MutableBytes into) noexcept override;
  std::optional<std::uint64_t> reg(unsigned i) noexcept override;
  std::optional<RegisterParts> parts(unsigned i) noexcept override;
  std::optional<std::uint64_t> moment(unsigned i) noexcept override;
  std::optional<std::size_t> moment_text(unsigned i, std::span<char> into) noexcept override;
  std::optional<std::uint64_t> field(unsigned i) noexcept override;
  std::optional<std::size_t> field_text(unsigned i, std::span<char> into) noexcept override;
  std::optional<std::uint64_t> per_cpu(std::uint64_t variable, std::uint64_t cpu) noexcept override;
  bool emit(unsigned site, std::span<const ValueView> values) noexcept override;

 private:
  void begin_memory() noexcept;
  bool kernel(std::uint64_t address, MutableBytes into) noexcept override;
  bool user(std::uint64_t pgd, std::uint64_t address, MutableBytes into) noexcept override;
  [[nodiscard]] std::size_t read_string(std::uint64_t at, std::span<char> into) noexcept;

  const vmipl::Program& program_;
  const AgentPlan& plan_;
  const MomentLayout& layout_;
  VcpuRegisters& registers_;
  RingWriter ring_;
  unsigned vcpu_;
  GuestMemory memory_;        ///< by the CPU's tables
  GuestMemory other_memory_;  ///< another process's
  MomentReader reader_;
  const EventAt* event_ = nullptr;
  bool memory_begun_ = false;
  std::uint64_t sequence_ = 0;
  std::optional<std::uint64_t> current_;  ///< looked for; 0: not found
  std::optional<MomentReader::Cpu> cpu_;  ///< this CPU in the kernel's eyes, once it was found
  std::vector<ValueView> values_;         ///< room for a record's
  std::unique_ptr<std::byte[]> scratch_;  ///< room for a record's bytes
  std::unique_ptr<char[]> data_;          ///< room for what a data probe read
};

}  // namespace vitrine::probe
