// Guests, found by their QMP sockets in a folder: NAME.qmp or NAME.sock.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

struct FoundGuest {
  std::string name;  ///< of the file, without its ending: letters, digits, . _ -, at most 64
  std::string path;
  pid_t domain_pid = 0;  ///< of libvirt's domain of this name; 0: `path` is a QMP socket
};

/// Whether a guest may be called so: files and folders are named after it.
[[nodiscard]] bool is_guest_name(std::string_view name);

/// Sockets in the folder, by name. Names that could be no folder's name are passed over.
[[nodiscard]] std::vector<FoundGuest> list_guests(const std::string& folder);

/// A connection to a guest's monitor, and who listens there.
struct Monitor {
  FileDescriptor socket;
  pid_t pid = 0;  ///< of its QEMU
  FileDescriptor pidfd;
};

/// @returns not_found  nobody listens: the guest is gone, or not there yet
/// @returns denied, io
[[nodiscard]] Outcome<Monitor> connect_monitor(const std::string& path);

}  // namespace vitrine::fvm
