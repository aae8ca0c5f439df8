// Guard: the host's half of one FVM. It holds the QMP connection of one guest, listens to one
// FVM at a time, writes what it says, and does what the policy says about it. It asks nobody.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "fvm/control_page.h"
#include "fvm/guard/fvm_watch.h"
#include "fvm/guard/look_wish.h"
#include "fvm/guard/notebook.h"
#include "fvm/guard/policy.h"
#include "fvm/guard/response.h"
#include "fvm/guard/wait_account.h"
#include "fvm/messages.h"
#include "fvm/sensor/assigned_machine.h"

namespace vitrine::fvm {

class Guard {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Options {
    std::string guest;
    std::string machine;  ///< its QEMU, so that no other of this guest's name is taken for it
    Policy policy;
    bool emulated = false;                   ///< FVMs run under TCG: more patience
    std::size_t most_findings = 4096;        ///< known at once
    std::uint64_t findings_per_second = 50;  ///< new ones written; the rest is counted
  };

  Guard(Options options, FileDescriptor supervisor, Response response, Notebook notebook);

  /// Until the supervisor says leave or is gone, or the guest is.
  /// @returns why it ended
  [[nodiscard]] Outcome<void> run();

 private:
  /// The FVM employed now.
  struct Employed {
    std::uint64_t generation;
    Isolation isolation;
    FileDescriptor channel;
    ControlPage page;
    Orders orders;
    FvmWatch watch;
    WaitAccount waits{};
    std::int64_t lost_ns;
    Cause cause;
    bool reported_bad = false, announced = false;
    unsigned notes = 0;
  };
  /// A finding that stands.
  struct Known {
    std::string symptom;
    std::uint8_t severity = 0;
    bool confirmed = false;  ///< seen again since the kernel was attached
  };

  Outcome<void> watch();
  Outcome<void> take_up_responses();
  void write_action(Action action, std::string_view words, bool done, std::string_view because,
                    bool ended = false);
  Outcome<void> survey();
  void note_monitor(const std::string& trouble);
  Outcome<bool> hear_supervisor();
  void take_layout(const RangesPacket& packet, std::vector<FileDescriptor> files);
  Outcome<void> employ(const EmployPacket& packet, std::vector<FileDescriptor> descriptors);
  /// @returns whether all that the FVM said so far was heard
  bool hear_fvm(Time now, std::chrono::milliseconds most);
  void hear_herald(Time now);
  void watch_fvm(Time now, std::chrono::nanoseconds late, bool heard_all);
  void handle(const Message& message, Time now);
  void found(const symptom::Finding& finding, Time now);
  void gone(const std::string& key, const symptom::Finding* finding);
  void report_status(Time now);

  Options options_;
  FileDescriptor supervisor_;
  Response response_;
  Notebook notebook_;
  std::vector<MapSegment> layout_;
  std::vector<RamFile> files_;
  std::uint64_t cpu_share_ = 10;
  std::unique_ptr<Employed> fvm_;
  FileDescriptor herald_;  ///< a pipe; there is none where the guest has no agent
  LookWish wish_;
  std::map<std::string, Known> known_;
  RateLimit finding_rate_;
  std::uint64_t findings_ = 0, actions_ = 0, refused_ = 0;
  std::uint64_t refused_written_ = 0;
  bool attached_ = false;
  std::string kernel_;
  Time next_status_{};
  std::string monitor_trouble_;  ///< what it answered in place of an answer
};

}  // namespace vitrine::fvm
