// Sensor: what an FVM does, from the moment it has its inputs to its end.
#pragma once

#include <time.h>

#include <functional>
#include <memory>
#include <thread>

#include "fvm/control_page.h"
#include "fvm/sensor/assigned_machine.h"
#include "fvm/sensor/pulse.h"
#include "fvm/sensor/reporter.h"
#include "linux/kernel.h"
#include "symptom/engine.h"

namespace vitrine::fvm {

/// `turn`: symptom::EngineOptions.
using EngineMaker = std::function<Outcome<std::unique_ptr<symptom::Engine>>(
    const linux::Kernel&, std::function<void()> turn)>;
/// Blocks until the guest's RAM is there, as files numbered as the orders' segments number them.
using RamSource = std::function<Result<std::vector<RamFile>>(const Orders&)>;

/// Looks at one guest for ever: waits for orders, finds the kernel, runs passes, reports, rests,
/// and answers the canary all the while. A second assignment never comes: an FVM whose guest is
/// taken from it is destroyed.
class Sensor {
 public:
  /// @param page   the control page, kControlBytes, mapped for as long as this lives
  /// @param pulse  likewise
  Sensor(const volatile std::byte* page, Pulse& pulse, Reporter& reporter, RamSource ram,
         EngineMaker engine)
      : page_(page),
        pulse_(pulse),
        reporter_(reporter),
        ram_(std::move(ram)),
        make_engine_(std::move(engine)) {}

  /// @param ready  called once the heart beats, before any order is read: the last moment to give
  ///   up rights, for all threads. A failure of it ends the run.
  /// Returns when the channel is closed.
  void run(const std::function<Outcome<void>()>& ready);

 private:
  /// Steps and CPU time of the engine, of one moment.
  struct Progress {
    std::uint64_t steps, engine_ns;
  };
  [[nodiscard]] Progress progress() const;
  void beat(const std::stop_token& stop);
  void listen();
  void wait(std::chrono::nanoseconds time);
  void watch();
  bool attach();
  void look();
  void look_out_of_turn();
  void tell(const symptom::PassReport& report);
  [[nodiscard]] bool is_wished();

  const volatile std::byte* page_;
  Pulse& pulse_;
  Reporter& reporter_;
  RamSource ram_;
  EngineMaker make_engine_;

  Orders orders_;
  clockid_t engine_clock_{};           ///< CPU time of the thread that run() was called in
  std::uint64_t seen_sequence_ = 0;    ///< what it said then is done
  std::uint64_t looked_sequence_ = 0;  ///< as the last look found it
  std::uint64_t answered_round_ = 0;

  std::unique_ptr<AssignedMachine> machine_;
  std::unique_ptr<linux::Kernel> kernel_;
  std::unique_ptr<symptom::Engine> engine_;
  std::chrono::steady_clock::time_point pass_due_{};  ///< in turn
  /// CPU time that looks out of turn may take, as it was at that time; below 0: too much was taken.
  std::chrono::nanoseconds wish_budget_{};
  std::chrono::steady_clock::time_point wish_counted_{};
  std::uint64_t looked_round_ = 0;  ///< which wish for a look was granted
  std::string no_kernel_;           ///< why none was found, as it was told
  std::chrono::steady_clock::time_point boots_since_{};
};

}  // namespace vitrine::fvm
