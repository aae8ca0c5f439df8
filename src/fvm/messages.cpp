#include "fvm/messages.h"

namespace vitrine::fvm {

std::string_view words(Cause cause) noexcept {
  switch (cause) {
    case Cause::exited:
      return "its process ended";
    case Cause::stopped:
      return "its process was stopped";
    case Cause::silent:
      return "its heartbeat stopped";
    case Cause::stuck:
      return "its heart beats, but it no longer finds the canary";
    case Cause::forged:
      return "what it says contradicts itself";
    case Cause::protocol:
      return "its verdicts break the protocol";
    case Cause::flooded:
      return "it flooded the verdict channel";
    case Cause::altered:
      return "its memory is not what was measured";
    case Cause::guard_lost:
      return "its guard ended";
    case Cause::asked:
      return "an operator asked for it";
    case Cause::never:
      return "it did not take the guest up";
  }
  return "unknown";
}

std::string_view name(Isolation isolation) noexcept {
  return isolation == Isolation::process ? "process" : "microvm";
}

}  // namespace vitrine::fvm
