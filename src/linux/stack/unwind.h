// Unwinder: the kernel's stack of a virtual CPU that stands in it, or of a task that sleeps.
//
// Walked by the kernel's own ORC tables, across the stacks of interrupts, exceptions and entry,
// and through the registers that lie on them; by frame pointers where no table says more (BPF
// programs, kernels without ORC), which is a guess and marked so. A kernel that was built with
// neither guesses itself (CONFIG_UNWINDER_GUESS): all on the stack that could be a return address.
//
// The three types that matter: Unwinder, KernelStack, StackFrame.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/stack/orc_tables.h"
#include "linux/stack/return_hooks.h"
#include "linux/stack/saved_registers.h"
#include "linux/stack/stack_areas.h"
#include "memory/virtual_memory.h"
#include "x86/registers.h"

namespace vitrine::linux {

class Kernel;

/// How a frame was come by.
enum class FrameSource : std::uint8_t {
  registers,    ///< the virtual CPU's own
  switched,     ///< where a sleeping task gave the CPU up
  call,         ///< a return address, found by a rule
  interrupted,  ///< registers that an interrupt or exception saved
  guess,        ///< a return address, found by an assumed frame pointer
  hooked,       ///< a return address that a tracer has taken; this is what stood there
};
/// The name as it stands above.
[[nodiscard]] std::string_view name(FrameSource source) noexcept;

struct StackFrame {
  Gva address;         ///< of an instruction, or of the one after a call
  bool exact = false;  ///< of the instruction itself: nothing was called from the one before
  FrameSource source = FrameSource::registers;
  StackKind stack = StackKind::none;  ///< on which the frame lies
  Gva sp;                             ///< the stack pointer in this frame
  bool reliable = true;               ///< no guess was needed up to here
};

struct KernelStack {
  /// Why it has no end although nothing is wrong: the entry code runs on its program's stack or on
  /// one of its own without rules; a switch takes the next task's stack before it says so.
  static constexpr std::string_view kEntering = "it is entering or leaving the kernel";
  static constexpr std::string_view kSwitching = "its CPU is switching to another task";
  [[nodiscard]] bool between() const { return broken == kEntering || broken == kSwitching; }

  std::vector<StackFrame> frames;  ///< innermost first
  /// Where the walk left the kernel; nothing for kernel threads, or if it ended before.
  std::optional<UserState> user;
  /// Why it ended before its end, a literal; empty if it did not.
  std::string_view broken;
};

/// Threads: one at a time.
class Unwinder {
 public:
  static constexpr std::size_t kMaxFrames = 256;

  /// @returns not_found  a kernel without BTF, or a member that is missing; the message names it
  [[nodiscard]] static Outcome<Unwinder> open(const Kernel& kernel);

  /// Of a virtual CPU: its registers as of now. In user mode there are no frames, and `user`
  /// is what the registers say. What lies on the stack may have changed since, unless the
  /// machine is stopped.
  [[nodiscard]] KernelStack of_cpu(const x86::Registers& registers, unsigned cpu, Gva task) const;

  /// Of a task that is on no CPU. For one that is, a stack of the past; see KernelStack::broken
  /// and task_on_cpu().
  [[nodiscard]] KernelStack of_sleeping(Gva task) const;

  /// The program's registers as they were saved when `task` entered the kernel, for a task that
  /// is in it and whose walk did not come to them. Nothing for kernel threads.
  [[nodiscard]] std::optional<UserState> saved_user_state(Gva task) const;

  /// Is it on a CPU now? (task_struct.on_cpu) Nothing if that is unknown.
  [[nodiscard]] std::optional<bool> task_on_cpu(Gva task) const;
  /// A number that changes whenever the task runs: its stack pointer and its switches.
  [[nodiscard]] std::uint64_t activity(Gva task) const;

  /// The tables by which stacks are walked: "ORC tables", "frame pointers".
  [[nodiscard]] std::string_view method() const {
    return orc_ ? "ORC tables" : scans_ ? "guesses" : "frame pointers";
  }

  /// Modules may have come and gone. Call it before a new look.
  void forget();

  /// For tests: all that it needs, from anywhere. `memory` must outlive it.
  Unwinder(const VirtualMemory& memory, std::optional<OrcTables> orc, const SavedLayout& layout,
           Gva text_start = {}, Gva text_end = {})
      : memory_(&memory),
        orc_(std::move(orc)),
        layout_(layout),
        text_start_(text_start),
        text_end_(text_end) {}
  /// A walk from these registers over these stacks.
  [[nodiscard]] KernelStack walk(const x86::Registers& from, Gva task,
                                 std::span<const StackArea> areas) const;

 private:
  struct State;
  struct Step;
  [[nodiscard]] bool is_code(Gva address) const;
  [[nodiscard]] bool starts_branch_thunk(Gva address) const;
  [[nodiscard]] bool at_first_registers(const State& state) const;
  [[nodiscard]] std::string_view step(State& state) const;
  [[nodiscard]] std::string_view scan(State& state) const;
  [[nodiscard]] KernelStack run(State state) const;

  const VirtualMemory* memory_;
  bool scans_ = false;  // no tables, and no frame pointers
  std::optional<OrcTables> orc_;
  SavedLayout layout_;
  const Kernel* kernel_ = nullptr;
  std::optional<StackAreas> areas_;
  ReturnHooks hooks_;
  Field<Gva> thread_sp_;
  OptionalField<std::int32_t> on_cpu_;
  OptionalField<std::uint64_t> voluntary_, involuntary_;
  Gva fork_;                   // ret_from_fork or ret_from_fork_asm
  Gva text_start_, text_end_;  // code that is known without tables
  Gva init_start_, init_end_;  // the idle task of the first CPU began there
};

}  // namespace vitrine::linux
