// Stops: the breakpoints and watchpoints of a program, and what happens at each of them.
//
// Everything here runs while the machine stands.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/modules.h"
#include "machine/gdb_client.h"
#include "probe/event_source.h"
#include "probe/gdb/placement.h"
#include "probe/gdb/stop_firing.h"
#include "probe/rate_gate.h"
#include "probe/source_settings.h"

namespace vitrine::probe {

class Stops {
 public:
  /// All must outlive this.
  Stops(const linux::Kernel& kernel, GdbClient& client, EventSink& sink, SourceSettings settings);

  /// Another program: what both need stays in place. After an error the old one stands.
  [[nodiscard]] Outcome<void> use(Assignment mine);

  /// Fires what the stop means, and takes its CPU past a breakpoint.
  [[nodiscard]] Outcome<void> handle(const GdbStop& stop);
  /// Takes everything out while somebody keeps the machine paused, and puts it back: what stops a
  /// machine that others let go is told to nobody.
  [[nodiscard]] Outcome<void> suspend();
  [[nodiscard]] Outcome<void> resume();

  /// A breakpoint is to be taken out or put back, as its probe is thinned or has rested.
  [[nodiscard]] bool wants_change();
  [[nodiscard]] Outcome<void> change();

  /// True once after a block that paused the machine.
  [[nodiscard]] bool take_stay() { return std::exchange(stay_, false); }
  [[nodiscard]] Losses losses() const;

 private:
  struct Bound {
    std::uint32_t probe;
    StopRole role;
  };
  /// A return that is waited for: the stack pointer says whose.
  struct Pending {
    std::uint32_t probe;
    StopRole role;
    std::uint64_t stack;  ///< RSP behind the return
    std::uint64_t
        subject;  ///< of system calls: pt_regs; of modules: struct module; else the function
  };
  struct Point {
    std::vector<Bound> bound;
    std::vector<Pending> pending;
    bool inserted = false;
    unsigned skip = 0;  ///< bytes of a first instruction that does nothing
  };
  struct Watch {
    std::uint32_t probe;
    WatchSpot spot;
    std::vector<std::byte> shadow;
    bool inserted = false;
  };
  struct Thinning {
    RateGate gate;
    bool out = false;  ///< its points are not in place
    std::uint64_t since_ns = 0, times = 0, out_ns = 0;
  };

  [[nodiscard]] bool wanted(const Point& point) const;
  Outcome<void> settle_points();
  Outcome<bool> at_point(const std::string& thread, unsigned cpu, const x86::Registers& registers);
  void at_bound(const Bound& bound, const std::string& thread, unsigned cpu,
                const x86::Registers& registers, bool& moved);
  void at_return(const Pending& pending, const std::string& thread, unsigned cpu,
                 const x86::Registers& registers, bool& moved);
  Outcome<void> at_watch(const GdbStop& stop, const std::string& thread, unsigned cpu,
                         const x86::Registers& registers);
  Outcome<void> step_over(const std::string& thread, unsigned cpu, const x86::Registers& registers);
  void expect(Gva at, Pending pending);
  /// Takes one stop off the probe's rate. @returns false  it is switched off now
  bool pass(std::uint32_t probe);
  void tell_frame(StopTold& told, std::uint64_t frame) const;
  void fire(std::uint32_t probe, const std::string& thread, unsigned cpu,
            const x86::Registers& registers, const StopTold& told, bool& moved);
  void tell_system_call(StopTold& told, std::uint64_t number) const;
  void tell_module(StopTold& told, Gva module) const;
  [[nodiscard]] std::optional<std::uint64_t> load(std::uint64_t at) const;
  [[nodiscard]] Told exit_code_of(Gva task) const;
  [[nodiscard]] std::size_t index_of(const std::string& thread) const;

  const linux::Kernel& kernel_;
  GdbClient& client_;
  EventSink& sink_;
  const SourceSettings settings_;
  RateLimit limit_;  ///< of each probe of the program that runs
  Assignment mine_;
  std::map<Gva, Point> points_;
  std::vector<Watch> watches_;
  std::map<std::uint32_t, Thinning> thinning_;
  std::optional<linux::ModuleLayout> modules_;
  struct TaskFields {
    linux::Field<std::int32_t> pid, tgid, parent, exit_code, group_exit_code;
    linux::Field<std::uint32_t> signal_flags;
  };
  std::optional<TaskFields> task_;
  bool stay_ = false, suspended_ = false;
  std::uint64_t forgotten_ = 0;  ///< returns that were waited for and given up
};

}  // namespace vitrine::probe
