// A QEMU's RAM without its monitor: blocks found in its address space by the sizes that
// its command line tells, laid out by its machine type's rule, checked against the
// firmware's own memory map.
#pragma once

#include <string>
#include <vector>

#include "base/problem.h"
#include "machine/machine.h"
#include "machine/process_maps.h"
#include "machine/qemu_options.h"
#include "machine/qemu_ram.h"

namespace vitrine {

/// One reading of where RAM lies in QEMU and in the guest.
struct InferredRam {
  std::string words;
  std::vector<HostRange> ranges;
};

/// Every reading that the command line and the mappings allow, the likeliest first: RAM
/// blocks of one size can be told apart only by what is in them.
/// @returns not_found  no mapping has a RAM block's size
/// Pure. At most 16 readings.
[[nodiscard]] Outcome<std::vector<InferredRam>> infer_ram(const QemuOptions& options,
                                                          const std::vector<ProcessMapping>& maps);

struct ReachedInferred {
  ReachedRam ram;
  MapSource source = MapSource::inferred;
  std::vector<std::string> layouts;
  std::vector<std::string> warnings;
};

/// Opens the reading that the guest's firmware agrees with, or the likeliest; or the one
/// numbered `layout`, where that is not 0.
/// Errors as infer_ram() and reach_ram().
[[nodiscard]] Outcome<ReachedInferred> reach_inferred_ram(pid_t pid, const QemuOptions& options,
                                                          std::size_t layout);

}  // namespace vitrine
