// LibvirtMonitor: the monitor of one domain, through libvirt. Compiled into vitrine-libvirt alone,
// the one program that links libvirt.
#pragma once

#include <libvirt/libvirt.h>

#include <memory>
#include <string>

#include "fvm/relay/qmp_relay.h"

namespace vitrine::fvm {

class LibvirtMonitor final : public MonitorPort {
 public:
  LibvirtMonitor(std::string uri, std::string domain)
      : uri_(std::move(uri)), name_(std::move(domain)) {}

  /// @returns denied     libvirt does not let us; not_found  no such domain, or no libvirt there
  [[nodiscard]] Outcome<void> open();
  /// Opens anew where libvirt was restarted since.
  [[nodiscard]] Outcome<std::string> run(const std::string& command) override;
  [[nodiscard]] Outcome<std::string> dump(int file) override;

 private:
  Outcome<void> reopen();
  struct Close {
    void operator()(virConnectPtr connection) const { (void)virConnectClose(connection); }
    void operator()(virDomainPtr domain) const { (void)virDomainFree(domain); }
  };

  std::string uri_, name_;
  std::unique_ptr<virConnect, Close> connection_;
  std::unique_ptr<virDomain, Close> domain_;
};

}  // namespace vitrine::fvm
