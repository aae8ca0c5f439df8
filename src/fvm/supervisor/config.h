// The supervisor's configuration: /etc/vitrine/vitrined.toml.
//
//   machines = "/run/vitrine/machines"  # QMP sockets, one a guest: web1.qmp is the guest web1
//   libvirt = "qemu:///system"          # its running domains too; none: the folder alone
//   state = "/var/lib/vitrine"          # evidence, keys
//   runtime = "/run/vitrine"            # the control socket
//   rules = ["/usr/share/vitrine/rules"]
//   policy = "policy.toml"              # beside this file; none: dry run
//   isolation = "process"               # or "microvm", or "auto": a microVM where RAM is shared
//   image = "/usr/lib/vitrine/fvm"      # of microVMs: guest fvm-image builds it
//   accelerator = "tcg"                 # or "kvm"
//   standby = 1                         # FVMs that wait, booted
//   cpu_share = 6                       # thousandths of a core for the passes of one FVM
//   first_user = 2000300000             # users from here on are the guards' and FVMs'; root only
//   [guest.web1]                        # in place of the above
//   isolation = "process"
//   policy = "web.toml"
//   watch = true
//   events = true                       # looked at when something happens; takes its QEMU's agent
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "fvm/guard/policy.h"
#include "fvm/messages.h"

namespace vitrine::fvm {

struct GuestConfig {
  Isolation isolation = Isolation::process;
  bool automatic = false;   ///< a microVM where the guest's RAM can be shown to one, else a process
  std::string policy_text;  ///< checked; empty: Policy::usual()
  std::string policy_name;
  bool watch = true;
  bool events = false;  ///< the agent, where its QEMU has one, says when to look
};

struct Config {
  std::string machines = "/run/vitrine/machines";
  std::string libvirt;         ///< a URI, checked; empty: libvirt is not asked
  std::string libvirt_folder;  ///< where it notes its domains
  std::string state = "/var/lib/vitrine";
  std::string runtime = "/run/vitrine";
  std::vector<std::string> rules;
  std::string programs;  ///< folder of vitrine-fvm and vitrine-guard; empty: that of vitrined
  unsigned standby = 1;
  std::string image = "/usr/lib/vitrine/fvm";
  std::string accelerator = "tcg";
  std::uint32_t cpu_share = 6;
  /// Where nobody else takes users from: systemd's own begin at 61184 and 524288, directories
  /// (SSSD, FreeIPA) give up to 2,000,200,000, and systemd has more from 0x7FFE0000 on.
  std::uint32_t first_user = 2'000'300'000;
  GuestConfig usual;
  std::map<std::string, GuestConfig, std::less<>> guests;

  /// Whether a guest of this configuration may be watched by a microVM.
  [[nodiscard]] bool uses(Isolation isolation) const;
  [[nodiscard]] const GuestConfig& guest(std::string_view name) const;

  /// Reads the file and the policies that it names.
  /// @returns invalid  each mistake with file and line; not_found, denied  the file
  [[nodiscard]] static Outcome<Config> load(const std::string& path);
};

}  // namespace vitrine::fvm
