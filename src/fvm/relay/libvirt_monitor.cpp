#include "fvm/relay/libvirt_monitor.h"

#include <fmt/format.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <unistd.h>

#include <cstdlib>

namespace vitrine::fvm {
namespace {

std::unexpected<Problem> refused(std::string_view what) {
  const auto* error = virGetLastError();
  const auto code = error == nullptr                     ? Errc::io
                    : error->code == VIR_ERR_NO_DOMAIN   ? Errc::not_found
                    : error->code == VIR_ERR_AUTH_FAILED ? Errc::denied
                                                         : Errc::io;
  return std::unexpected(Problem(
      code, fmt::format("libvirt: {}: {}", what,
                        error != nullptr && error->message != nullptr ? error->message : "no")));
}

}  // namespace

Outcome<void> LibvirtMonitor::open() {
  domain_.reset();
  connection_.reset(virConnectOpen(uri_.c_str()));
  if (!connection_) return refused(uri_);
  domain_.reset(virDomainLookupByName(connection_.get(), name_.c_str()));
  if (!domain_) return refused(name_);
  return {};
}

/// Asked before, not after: a command that was sent is not sent twice.
Outcome<void> LibvirtMonitor::reopen() {
  if (connection_ && virConnectIsAlive(connection_.get()) == 1) return {};
  return open();
}

Outcome<std::string> LibvirtMonitor::run(const std::string& command) {
  TRY(reopen());
  char* text = nullptr;
  const int done = virDomainQemuMonitorCommand(domain_.get(), command.c_str(), &text, 0);
  const std::unique_ptr<char, void (*)(void*)> answer(text, &std::free);
  if (done != 0 || text == nullptr) return refused(name_);
  return std::string(text);
}

/// libvirt opens files by their paths: ours has one of its own below /proc, wherever the guard
/// that opened it sees it.
Outcome<std::string> LibvirtMonitor::dump(int file) {
  TRY(reopen());
  const auto path = fmt::format("/proc/{}/fd/{}", ::getpid(), file);
  if (virDomainCoreDumpWithFormat(domain_.get(), path.c_str(), VIR_DOMAIN_CORE_DUMP_FORMAT_RAW,
                                  VIR_DUMP_MEMORY_ONLY) != 0)
    return refused(name_);
  return std::string();
}

}  // namespace vitrine::fvm
