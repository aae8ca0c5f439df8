// MicrovmExaminer: looking into a microVM FVM from outside, as an FVM looks into a guest.
//
// Its RAM is a file that the Super FVM has mapped read-only. While it waits for a guest, and has
// seen no hostile byte yet, its kernel is attached to as any guest's, and its init is found. From
// then on, each time: init must be the task that it was, with the page tables that it had; what
// those show as its text must be, byte for byte, the program that was measured; nothing else may
// have user memory; the pulse must be there; and the pack's rules about kernels (system calls,
// interrupts, kernel text, hidden processes and modules) must find nothing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "fvm/sensor/assigned_machine.h"
#include "fvm/sensor/pulse.h"
#include "fvm/super/program_text.h"
#include "linux/field.h"
#include "linux/kernel.h"
#include "symptom/engine.h"
#include "symptom/pack.h"

namespace vitrine::fvm {

class MicrovmExaminer {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// What one that is up may take until its kernel is known.
  static constexpr std::chrono::seconds kAttachLate{60};
  static constexpr std::chrono::seconds kRulesEvery{2};

  /// @param ram      its RAM's file; @param size  bytes of it, from guest-physical 0 on
  /// @param program  its init as measured; must outlive this
  /// @param pack     of which the rules about kernels are taken
  /// @param alive    called often while long work is done
  [[nodiscard]] static Result<std::unique_ptr<MicrovmExaminer>> create(
      FileDescriptor ram, std::uint64_t size, Bytes program, const symptom::Pack& pack,
      std::function<void()> alive, Time now);

  enum class State : std::uint8_t { unknown, sound, altered };
  /// Looks once. @returns unknown  its kernel is not up yet.
  /// Cost: attaching 0.1 to 0.3 s, once; a look 2 ms; with the rules, every two seconds, 50 ms.
  [[nodiscard]] State look(Time now);

  /// The pulse as the last look saw it.
  [[nodiscard]] const std::array<std::byte, sizeof(Pulse)>& pulse() const noexcept {
    return pulse_;
  }
  /// What was wrong, in words.
  [[nodiscard]] const std::string& why() const noexcept { return why_; }
  /// CPU time of rare work in the last look, which its rate is not to be judged by.
  [[nodiscard]] std::chrono::nanoseconds rare_work() const noexcept { return rare_work_; }

 private:
  MicrovmExaminer(std::unique_ptr<AssignedMachine> machine, ProgramText text, Time now)
      : machine_(std::move(machine)), text_(text), since_(now) {}
  bool attach(Time now);
  [[nodiscard]] State wrong(std::string why);
  [[nodiscard]] Result<bool> text_intact();

  std::unique_ptr<AssignedMachine> machine_;
  ProgramText text_;
  symptom::Pack pack_;
  Time since_, again_{}, rules_due_{};
  std::unique_ptr<linux::Kernel> kernel_;
  std::unique_ptr<symptom::Engine> engine_;
  std::unique_ptr<x86::AddressSpace> memory_;  ///< init's
  linux::Field<Gva> mm_, start_code_;
  Gva init_, init_mm_, base_;
  x86::PageRoot root_;
  std::array<std::byte, sizeof(Pulse)> pulse_{};
  std::string why_;
  std::chrono::nanoseconds rare_work_{};
};

}  // namespace vitrine::fvm
