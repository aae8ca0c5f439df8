// MachineActions: what a script does to its machine: pause, write, save, isolate, throttle.
//
// Each change is put down with its time and told as it happens. Without a permission nothing of it
// can be made: --allow-writes for memory and registers, --allow-control for the rest.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "machine/guest_control.h"
#include "machine/guest_writer.h"
#include "probe/run_session.h"

namespace vitrine::probe {

/// One change of the guest, or one file made of it.
struct GuestChange {
  std::int64_t wall_ns = 0;
  std::string words;    ///< "paused the machine"
  bool failed = false;  ///< it was tried; `words` say why it did not come about
};

class MachineActions final : public ActionRunner {
 public:
  struct Permissions {
    bool writes = false, control = false;
  };
  using Teller = std::function<void(const GuestChange&)>;

  /// @param tell  called for each change as it happens; from a thread of its own or the block's
  MachineActions(const Machine& machine, const linux::Kernel& kernel, Permissions permissions,
                 Teller tell = {});
  ~MachineActions() override;

  [[nodiscard]] Outcome<void> can(const vmipl::Program& program, const vmipl::Site& site) override;
  [[nodiscard]] Outcome<void> run(const vmipl::Program& program, const vmipl::Site& site,
                                  std::span<const ValueView> values, HeldFiring& firing) override;

  /// All changes so far, in order. Waits for those that are under way.
  [[nodiscard]] std::vector<GuestChange> changes();

 private:
  using Job = std::function<Outcome<std::string>()>;
  Outcome<void> now_or_soon(HeldFiring& firing, Job job);
  Outcome<void> put_down(Outcome<std::string> done);
  Outcome<std::string> write_memory(std::uint64_t at, std::span<const std::byte> bytes,
                                    HeldFiring& firing);
  Outcome<std::string> dump_process(std::int64_t pid, const std::string& path);
  void work();

  const Machine& machine_;
  const linux::Kernel& kernel_;
  const Permissions permissions_;
  const Teller tell_;
  std::unique_ptr<GuestControl> control_;
  std::unique_ptr<GuestWriter> writer_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::vector<GuestChange> changes_;
  bool ending_ = false, busy_ = false;
  std::thread worker_;
};

}  // namespace vitrine::probe
