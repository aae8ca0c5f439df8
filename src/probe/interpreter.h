// Interpreter: runs one probe's code of a verified, bound program for one firing.
//
// It may stand on a virtual CPU's thread: it allocates nothing, throws nothing and takes no lock
// but a map's. Each firing has a budget; over it, the firing ends and says so.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "probe/environment.h"
#include "probe/map_store.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// What a firing may spend. An instruction costs 1; one that reads memory, looks into a map or
/// handles text costs more, by what it does.
inline constexpr std::uint64_t kEventBudget = 1'000'000;  ///< about 10 ms where a guest waits
inline constexpr std::uint64_t kHostBudget =
    200'000'000;  ///< Every, Start, Stop: the guest runs on
/// After so much of a budget Environment::turn() is called, at the latest.
inline constexpr std::uint64_t kSlice = 1'000'000;

/// The longest text that is computed; what would be longer is missing.
inline constexpr std::size_t kTextRoom = 2 * vmipl::kMaxTextBytes;

struct Firing {
  enum class End : std::uint8_t {
    done,
    over_budget,
    ended,  ///< by what it did: Stop()
  } end = End::done;
  std::uint64_t spent = 0;
};

/// One thread at a time; make one for each.
class Interpreter {
 public:
  /// @param program  verified and bound; both must outlive this.
  Interpreter(const vmipl::Program& program, MapStore& maps);

  /// Runs the code of program.probes[probe].
  Firing run(unsigned probe, Environment& environment,
             std::uint64_t budget = kEventBudget) noexcept;

 private:
  struct Run;
  const vmipl::Program& program_;
  MapStore& maps_;
  std::array<std::uint64_t, vmipl::kMaxNumbers> numbers_;
  std::array<std::uint8_t, vmipl::kMaxNumbers> there_;
  std::array<std::string_view, vmipl::kMaxTexts> texts_;
  std::array<std::uint8_t, vmipl::kMaxTexts> text_there_;
  std::array<ValueView, 256> operands_;
  std::unique_ptr<char[]> room_;  ///< kTextRoom for each text register
};

}  // namespace vitrine::probe
