// Guests whose memory is kept from their host.
#pragma once

#include <string>

#include "machine/qemu_options.h"

namespace vitrine {

/// What keeps the machine's memory from the host (SEV, TDX), as its command line has it:
/// "confidential-guest-support=sev0"; empty where nothing does. An object of that kind alone
/// (-object sev-guest) makes no machine confidential.
/// Source: QEMU's docs/system/confidential-guest-support.rst; memory-encryption before 5.2.
[[nodiscard]] std::string confidential_support(const QemuOptions& options);

}  // namespace vitrine
