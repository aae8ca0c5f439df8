// What RunSession's own files share: a program that runs, with all that its blocks need.
#pragma once

#include <memory>
#include <vector>

#include "probe/block_needs.h"
#include "probe/data_probe.h"
#include "probe/run_session.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {

/// A program that runs here, with all that its blocks need.
struct RunSession::Generation {
  std::shared_ptr<const vmipl::Program> program;
  Plan plan;
  std::unique_ptr<LocalMaps> own_maps;
  MapStore* maps = nullptr;  ///< own_maps, or a source's
  std::unique_ptr<HostEnvironment> environment;
  std::unique_ptr<Interpreter> interpreter;
  std::vector<ProbeCount> counts;
  std::vector<char> room = std::vector<char>(kMaxDataBytes);
  HeldFiring* firing = nullptr;
};

/// The probe is of the host's clock: Start, Stop, Every, OnExternalRequest.
inline bool by_the_clock(const vmipl::ProgramProbe& probe) {
  const auto& info = vmipl::probes()[probe.probe];
  return info.kind == vmipl::ProbeKind::event && (info.needs & vmipl::Needs::events) == 0;
}

}  // namespace vitrine::probe
