// EventSource: one way of learning what happens in a machine.
//
// The agent in QEMU, the gdbstub, polling, the host's clock, the streams at the machine's
// border, and the lab of the tests are the kinds there are. Each says, probe by probe, what it
// can do and what that costs (offers()); the planner (planner.h) gives each probe to one of
// them; the run session starts them and takes what they deliver (EventSink).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/problem.h"
#include "probe/firing.h"
#include "probe/map_store.h"
#include "vmipl/program.h"

namespace vitrine::probe {

class UserFrames;

/// What a firing costs the guest, by order of magnitude; cheaper first.
enum class CostClass : std::uint8_t {
  none,          ///< the guest does not notice: host's clock, polling, streams
  at_event,      ///< tenths of a microsecond: the block runs in the agent, on the virtual CPU
  every_access,  ///< the agent looks at every access (or instruction) of some code: a share of its
                 ///< speed
  held,          ///< tens of microseconds: that virtual CPU waits while the host runs the block
  stop,          ///< milliseconds: the whole machine stops while the host runs the block
};
/// "none", "at the event", "every access", "held", "stop".
[[nodiscard]] std::string_view name(CostClass cost) noexcept;

/// Whether a source sees every event.
enum class Coverage : std::uint8_t {
  every,    ///< each event fires; what is lost for want of room is counted
  between,  ///< two looks are compared: what begins and ends between them is missed, uncounted
};

/// What one source says of one probe.
struct Offer {
  bool possible = false;
  CostClass cost = CostClass::none;
  Coverage coverage = Coverage::every;
  std::string mechanism;  ///< "software breakpoint at do_exit"; empty if refused
  std::string reason;  ///< why this way; or why not at all: "the gdbstub cannot see writes of MSRs"
  std::string remedy;  ///< refused: what would make it possible: "start the machine with the agent"
  std::uint64_t window_ns = 0;  ///< Coverage::between: how far two looks are apart
  std::string waits = {};       ///< what it waits for, a sentence: until then nothing fires

  [[nodiscard]] static Offer refuse(std::string reason, std::string remedy = {}) {
    Offer offer;
    offer.reason = std::move(reason);
    offer.remedy = std::move(remedy);
    return offer;
  }
};

/// A word from a source while it runs, for people and for the records: "probe 3 (Syscall, line
/// 4) fired 120,000 times a second: thinned to one of 64".
struct SourceNote {
  enum Kind : std::uint8_t {
    word,
    thinned,
    switched_off,
    guest_reset,  ///< the kernel ended: the source serves nothing more, and waits to be stopped
    source_ended,
  } kind = word;
  std::optional<std::uint32_t> probe;
  std::string text;
};

/// What did not arrive, since the start.
struct Losses {
  std::uint64_t records = 0;       ///< for want of room in a ring
  std::uint64_t firings = 0;       ///< not run: thinned, or the host was late
  std::uint64_t late = 0;          ///< turns of a clock not made up for: nothing was lost by them
  std::vector<std::string> words;  ///< a sentence each, what and why; what cannot be counted too
};

/// Where a source delivers. Called from threads of the sources, one call of one source at a
/// time, of several sources at once: it must be ready for that. Must outlive the sources' run.
class EventSink {
 public:
  EventSink() = default;
  EventSink(const EventSink&) = delete;
  EventSink& operator=(const EventSink&) = delete;
  virtual ~EventSink() = default;

  /// Records that a block left which ran at the event: bytes as record.h writes them. They come
  /// out of a QEMU process and are believed in nothing.
  virtual void records(Bytes bytes) = 0;
  /// The same, of a program that may have been replaced since.
  virtual void records_of([[maybe_unused]] const vmipl::Program& program, Bytes bytes) {
    records(bytes);
  }
  /// A block to run now, on this thread. What waits for it waits until this returns; keep it short.
  virtual void fire(HeldFiring& firing) = 0;
  /// The next bytes of a stream probe, in order. Those of one call belong together (a packet, a
  /// line).
  virtual void stream(std::uint32_t probe, Bytes bytes) = 0;
  virtual void note(SourceNote note) = 0;
  /// The guest loaded or unloaded a module, and the source looks where its probes are now: runs
  /// `look` while no block runs and nobody else looks at the kernel, whose modules are read anew.
  virtual void modules_changed(const std::function<void()>& look) { look(); }
  /// Where a source that reads programs' stacks leaves their names; null: nobody prints them.
  [[nodiscard]] virtual UserFrames* user_frames() { return nullptr; }
};

/// A program and the probes of it that one source is to serve.
struct Assignment {
  std::shared_ptr<const vmipl::Program> program;  ///< verified and bound
  std::vector<std::uint32_t> probes;              ///< indices into program->probes, ascending
};

/// Threads: offers() and losses() at any time; start, replace and stop from one thread.
class EventSource {
 public:
  EventSource() = default;
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;
  /// Stops.
  virtual ~EventSource() = default;

  /// "agent", "gdbstub", "polling", "clock", "network" ...
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  /// It needs nothing of the guest's kernel, and serves on when another takes its place.
  [[nodiscard]] virtual bool outlives_kernel() const noexcept { return false; }
  /// It looks at the kernel that blocks on the host look at: it is asked, started and given another
  /// program while none runs. Any other may have one of its own firings under way then, and wait
  /// for it.
  [[nodiscard]] virtual bool shares_kernel() const noexcept { return false; }

  /// One offer for each probe of the program, in its order. Has no effect on the guest, and
  /// judges each probe with its whole block (block_needs.h).
  [[nodiscard]] virtual std::vector<Offer> offers(const vmipl::Program& program) const = 0;

  /// Of probes that it offered, those it cannot serve together with the others of the list (it
  /// has four hardware breakpoints, say), each with the refusal. Nothing: it can serve them all.
  struct Excess {
    std::uint32_t probe;
    Offer refusal;
  };
  [[nodiscard]] virtual std::vector<Excess> excess(
      [[maybe_unused]] const vmipl::Program& program,
      [[maybe_unused]] const std::vector<std::uint32_t>& probes) const {
    return {};
  }

  /// Where the maps of a program live, if this source keeps them: asked before the program is
  /// started with some probes of it, used from then until the source's next start but one. Null:
  /// the host keeps them.
  [[nodiscard]] virtual MapStore* maps([[maybe_unused]] const vmipl::Program& program) {
    return nullptr;
  }

  /// From its return on, every event of `mine` fires. @returns what QEMU or the host refused.
  /// After an error nothing of it is left on the machine.
  [[nodiscard]] virtual Outcome<void> start(Assignment mine, EventSink& sink) = 0;

  /// Another program in the place of the running one; no event is missed or seen twice between
  /// them. `mine.probes` may be empty. After an error the old one runs on.
  [[nodiscard]] virtual Outcome<void> replace(Assignment mine) = 0;

  /// When it returns, no call of the sink is under way or will come, and the machine is as it
  /// was. Does nothing if it does not run.
  virtual void stop() noexcept = 0;

  [[nodiscard]] virtual Losses losses() const = 0;
};

}  // namespace vitrine::probe
