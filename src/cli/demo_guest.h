// DemoGuest: the guest that `vitrine demo` boots, and certainly ends.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/problem.h"

namespace vitrine::cli {

/// The program that boots guests: guests/guest beside the build folder that this program
/// lies in, or ../share/vitrine/guests/guest of an installed one.
[[nodiscard]] std::optional<std::filesystem::path> find_guest_program();

/// A booted guest. However this program ends, a killed one included, a second process
/// that waits for just that shuts the guest down.
class DemoGuest {
 public:
  /// Boots; blocks for some seconds, the first time longer (a kernel is fetched). What the
  /// boot says goes to stderr.
  /// @returns not_found  no program to boot guests with; io  it failed
  [[nodiscard]] static Outcome<DemoGuest> boot(const std::string& label, const std::string& name);

  DemoGuest(DemoGuest&& other) noexcept;
  DemoGuest& operator=(DemoGuest&&) = delete;
  DemoGuest(const DemoGuest&) = delete;
  DemoGuest& operator=(const DemoGuest&) = delete;
  /// Shuts down and waits until it is done.
  ~DemoGuest();

 private:
  DemoGuest(pid_t guardian, int lifeline) : guardian_(guardian), lifeline_(lifeline) {}
  pid_t guardian_ = -1;
  int lifeline_ = -1;  ///< closed when this program ends: the guardian reads its end
};

}  // namespace vitrine::cli
