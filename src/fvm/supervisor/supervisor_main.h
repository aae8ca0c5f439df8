// The main of `vitrined`.
#pragma once

namespace vitrine::fvm {

/// vitrined [--config FILE] [--check]
/// @returns the process's exit status.
int run_supervisor(int argc, char** argv);

}  // namespace vitrine::fvm
