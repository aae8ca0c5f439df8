// What a QEMU is doing with its machine.
#pragma once

#include <string>
#include <string_view>

#include "machine/qmp.h"

namespace vitrine {

/// "running", "paused", "inmigrate" ...: QEMU's RunState. Errors as Qmp::execute(), and protocol.
[[nodiscard]] Outcome<std::string> ask_run_state(Qmp& qmp);

/// What that state means for whoever reads the machine's RAM, a sentence; empty where it means
/// nothing: a machine that is paused or not yet started is read as any other.
/// Source: RunState in QEMU's qapi/run-state.json.
[[nodiscard]] std::string_view doubt_of_run_state(std::string_view state) noexcept;

}  // namespace vitrine
