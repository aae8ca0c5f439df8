// HeldFiring: one event of a guest, held until the host has run its block.
//
// What the agent cannot run at the event, and all that the gdbstub, polling and the host's
// clock see, comes to the host as one of these. While it lives, the virtual CPU waits (or,
// where there is none, nothing waits): registers and memory are those of the event.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "vmipl/program.h"
#include "x86/registers.h"

namespace vitrine::probe {

/// What a source knows of one value of the moment or of the event.
struct Told {
  enum State : std::uint8_t {
    unknown,  ///< the source does not say: the host works it out from registers and memory
    missing,  ///< the source says that there is none, or that it could not be read
    number,   ///< number_value
    text,     ///< text_value, which lives as long as the firing
  } state = unknown;
  std::uint64_t number_value = 0;
  std::string_view text_value = {};

  [[nodiscard]] static Told of(std::uint64_t value) { return {number, value, {}}; }
  [[nodiscard]] static Told of(std::string_view value) { return {text, 0, value}; }
  [[nodiscard]] static Told none() { return {missing, 0, {}}; }
};

class HeldFiring {
 public:
  HeldFiring() = default;
  HeldFiring(const HeldFiring&) = delete;
  HeldFiring& operator=(const HeldFiring&) = delete;
  virtual ~HeldFiring() = default;

  std::uint32_t probe = 0;  ///< index into Program::probes
  /// Whose probe it is; null: of the program that runs. A source that can be late after a
  /// replace() says it, so that no block of the new program runs for an old event.
  const vmipl::Program* program = nullptr;
  std::uint64_t monotonic_ns = 0;  ///< CLOCK_MONOTONIC of the host, at the event
  std::optional<std::uint32_t>
      cpu;  ///< the virtual CPU; nothing where no CPU is at it (polling, clock)

  /// The task_struct that process.* and thread.* mean, where that is not the CPU's current one:
  /// ProcessStart is told by the parent.
  std::optional<Gva> subject;

  /// The registers of the CPU at the event; null where no CPU is at it.
  [[nodiscard]] virtual const x86::Registers* registers() const { return nullptr; }
  /// Field `i` of the probe's `event.*`, by the catalogue's order.
  [[nodiscard]] virtual Told field([[maybe_unused]] unsigned i) const { return {}; }
  /// Value `i` of the catalogue's moments(): arg0, ret, process.pid ... `unknown` is the usual
  /// answer of a source with registers; a source without them tells all that it can.
  [[nodiscard]] virtual Told moment([[maybe_unused]] unsigned i) const { return {}; }

  /// Writes register `reg` (the catalogue's registers()) of this CPU, from this moment on.
  /// Whoever calls has the permission to (--allow-writes).
  /// @returns unsupported  there is no CPU at it, or this register cannot be written here
  [[nodiscard]] virtual Outcome<void> write_register([[maybe_unused]] unsigned reg,
                                                     [[maybe_unused]] std::uint64_t value) {
    return std::unexpected(Problem{Errc::unsupported, "this event has no register to write", {}});
  }

  /// Writes memory as this CPU sees it now; code is translated anew. Permission as above.
  /// @returns unsupported  this source cannot: the action finds its own way
  [[nodiscard]] virtual Outcome<void> write_memory([[maybe_unused]] Gva at,
                                                   [[maybe_unused]] Bytes bytes) {
    return std::unexpected(Problem{Errc::unsupported, "this event holds no memory", {}});
  }

  /// The whole machine stands while this lives; else at most the CPU at the event waits.
  [[nodiscard]] virtual bool holds_machine() const { return false; }

  /// The machine is to stay stopped when the block has ended: Pause() at the event. A source
  /// that holds the machine by itself leaves it so; Resume() is a `cont` at the monitor.
  /// @returns unsupported  this source cannot: whoever pauses does it at the monitor
  [[nodiscard]] virtual Outcome<void> stay_stopped() {
    return std::unexpected(Problem{Errc::unsupported, "this source holds no machine", {}});
  }
};

}  // namespace vitrine::probe
