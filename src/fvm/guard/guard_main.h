// The main of `vitrine-guard`.
#pragma once

namespace vitrine::fvm {

/// Words: the guest's name, "emulated" or "native", the policy's name for messages, the host's
/// boot identity, the guest's QEMU (a word that no other has). Descriptors: 3 the supervisor, 4 a
/// connection to the guest's QMP socket, 5 the signing key, 6 the policy's text. Its evidence
/// folder is /evidence. Locks itself down before it reads from any of them but 5 and 6. @returns
/// the process's exit status: 0 told to leave, 2 the guest is gone, 1 else.
int run_guard(int argc, char** argv);

}  // namespace vitrine::fvm
