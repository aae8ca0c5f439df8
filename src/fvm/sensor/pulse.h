// Pulse: the FVM's own signs of life, at one place in its memory.
//
// The heartbeat thread sends them; the Super FVM reads them from outside, at an address that is
// the same in every FVM: memory that says something else than the messages do is not that of
// the program that was started.
#pragma once

#include <atomic>
#include <cstdint>

#include "fvm/verdict/message.h"

namespace vitrine::fvm {

inline constexpr std::uint64_t kPulseAddress = 0x1f0000000000;
inline constexpr std::uint64_t kPulseMagic = 0x45534c5550545256;  // "VRTPULSE"

struct Pulse {
  std::uint64_t magic = kPulseMagic;
  std::atomic<std::uint64_t> counter{0};   ///< heartbeats sent
  std::atomic<std::uint64_t> progress{0};  ///< moved by the engine's own reads
  std::atomic<std::uint64_t> generation{0};
  std::atomic<std::uint64_t> passes{0}, pass_ns{0};
  std::atomic<std::uint32_t> standing{0}, dropped{0};
  std::atomic<Phase> phase{Phase::standby};

  void step() { progress.fetch_add(1, std::memory_order_relaxed); }
};

/// A new Pulse at its address; never freed. Null: the address is taken.
[[nodiscard]] Pulse* create_pulse();

}  // namespace vitrine::fvm
