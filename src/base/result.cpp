#include "base/result.h"

namespace vitrine {

std::string_view name(Errc code) noexcept {
  switch (code) {
    case Errc::not_found:
      return "not_found";
    case Errc::not_present:
      return "not_present";
    case Errc::not_canonical:
      return "not_canonical";
    case Errc::outside_ram:
      return "outside_ram";
    case Errc::out_of_bounds:
      return "out_of_bounds";
    case Errc::malformed:
      return "malformed";
    case Errc::implausible:
      return "implausible";
    case Errc::cycle:
      return "cycle";
    case Errc::too_large:
      return "too_large";
    case Errc::torn:
      return "torn";
    case Errc::unsupported:
      return "unsupported";
    case Errc::denied:
      return "denied";
    case Errc::vanished:
      return "vanished";
    case Errc::io:
      return "io";
    case Errc::timeout:
      return "timeout";
    case Errc::protocol:
      return "protocol";
    case Errc::invalid:
      return "invalid";
  }
  return "unknown";
}

}  // namespace vitrine
