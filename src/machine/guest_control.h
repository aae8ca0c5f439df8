// GuestControl: what is done to a whole machine, by its monitor.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "machine/guardian.h"
#include "machine/monitor.h"

namespace vitrine {

/// Each member says in its answer what was done, in words.
/// Threads: one at a time.
class GuestControl {
 public:
  explicit GuestControl(const Monitor& monitor) : monitor_(monitor) {}
  GuestControl(const GuestControl&) = delete;
  GuestControl& operator=(const GuestControl&) = delete;
  /// Ends a throttle.
  ~GuestControl();

  /// Stops every CPU until resume(), whoever ends meanwhile.
  [[nodiscard]] Outcome<std::string> pause();
  [[nodiscard]] Outcome<std::string> resume();

  /// Takes down the link of every network card; up again with reconnect(), whoever ends meanwhile.
  [[nodiscard]] Outcome<std::string> isolate() { return links(false); }
  [[nodiscard]] Outcome<std::string> reconnect() { return links(true); }

  /// Lets the machine have `percent` of its time; 100 ends it. By the cgroup's cpu.max where QEMU
  /// is alone in a group that we may write, else by stopping and letting go, ten times a second.
  /// Ends with this object; if we are killed, the guardian ends it.
  [[nodiscard]] Outcome<std::string> throttle(unsigned percent);

  /// An ELF core of all RAM, with the registers of every CPU. The machine stands while QEMU writes
  /// it.
  [[nodiscard]] Outcome<std::string> snapshot(const std::string& path);
  /// A PNG if the path ends so, else a PPM.
  [[nodiscard]] Outcome<std::string> screenshot(const std::string& path);

 private:
  Outcome<std::string> links(bool up);
  Outcome<bool> throttle_by_group(unsigned percent);
  void end_throttle();

  const Monitor monitor_;
  std::string group_file_, group_before_;  ///< cpu.max, and what stood there
  std::unique_ptr<Guardian> guardian_;
  std::uint64_t promise_ = 0;
  std::atomic<bool> throttling_ = false;
  std::atomic<unsigned> percent_ = 100;
  std::thread throttle_;
};

}  // namespace vitrine
