// The last words to a gdbstub, by whoever holds the connection when its user is gone.
#pragma once

namespace vitrine {

/// Makes QEMU remove every breakpoint and watchpoint that came over this connection and lets the
/// guest go on, in whatever state the conversation was left: in a packet, running, stopped.
/// @returns true  QEMU said that it has done so
/// Blocks for at most 10 s.
bool farewell_to_gdbstub(int socket) noexcept;

}  // namespace vitrine
