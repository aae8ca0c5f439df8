// KernelChoice: what a script is checked against: nothing but the views, a saved kernel
// description (--kernel FILE), or the kernel of a machine (--vm VM).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/session.h"
#include "probe/kernel_ports.h"
#include "vmipl/kernel_description.h"
#include "vmipl/ports.h"

namespace vitrine::cli {

class KernelChoice {
 public:
  /// By the options --vm and --kernel.
  /// @returns invalid  both were given; or as Session::open(), read_text(),
  /// KernelDescription::parse()
  [[nodiscard]] static Outcome<KernelChoice> open(Context& context, const Arguments& words);

  KernelChoice(KernelChoice&&) noexcept;
  KernelChoice& operator=(KernelChoice&&) noexcept;
  ~KernelChoice();

  /// Valid while this lives. Types and symbols are null where there is no kernel.
  [[nodiscard]] vmipl::Ports ports() const;
  /// "6.1.0-37-amd64"; empty without a kernel.
  [[nodiscard]] const std::string& release() const { return release_; }
  [[nodiscard]] const Session* session() const { return session_ ? &*session_ : nullptr; }

 private:
  KernelChoice();
  struct Live;
  std::string release_;
  std::unique_ptr<probe::LinuxViews> views_;
  std::optional<vmipl::KernelDescription> saved_;
  std::optional<Session> session_;
  std::unique_ptr<Live> live_;
};

/// Its options, for a command's list.
[[nodiscard]] std::vector<Option> kernel_options();

}  // namespace vitrine::cli
