#include "machine/confidential.h"

namespace vitrine {

std::string confidential_support(const QemuOptions& options) {
  for (const std::string key : {"confidential-guest-support", "memory-encryption"}) {
    const auto found = options.machine.find(key);
    if (found != options.machine.end() && !found->second.empty()) return key + "=" + found->second;
  }
  return {};
}

}  // namespace vitrine
