// Guests, found as libvirt's running domains: libvirt notes each one's QEMU in its run folder.
#pragma once

#include <string>
#include <vector>

#include "base/problem.h"
#include "fvm/supervisor/machines_folder.h"

namespace vitrine::fvm {

/// Where the libvirt of `uri` notes its domains: "qemu:///system" or "qemu:///session" (of this
/// user).
/// @returns invalid  another URI: vitrined watches machines of its own host
[[nodiscard]] Outcome<std::string> libvirt_run_folder(const std::string& uri);

/// Domains that run, by name; those whose names could be no folder's are passed over.
[[nodiscard]] std::vector<FoundGuest> list_domains(const std::string& folder);

/// What it takes to reach a domain's monitor.
struct LibvirtRelay {
  std::string program;  ///< vitrine-libvirt
  std::string uri;
  std::string log;  ///< a file for what it says
};

/// A QMP connection to the domain's QEMU, carried by a process that speaks with libvirt and ends
/// when the connection is closed, or with its parent.
/// @returns not_found  the domain is gone
/// @returns io
[[nodiscard]] Outcome<Monitor> connect_domain(const LibvirtRelay& relay, const FoundGuest& domain);

}  // namespace vitrine::fvm
