// Supervisor: starts and ends guards and FVMs as guests come and go. It alone starts
// processes, and it looks at nothing that came out of a guest.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "fvm/supervisor/config.h"
#include "fvm/supervisor/control_socket.h"
#include "fvm/supervisor/fvm_process.h"
#include "fvm/supervisor/guest_ram.h"
#include "fvm/supervisor/machines_folder.h"
#include "fvm/supervisor/microvm.h"
#include "fvm/verdict/rate_limit.h"

namespace vitrine::fvm {

class Supervisor {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Takes the locks, reads the pack, listens.
  /// @returns timeout    another supervisor has this state or machines folder; its pid is told
  /// @returns not_found  programs or folders that are not there; denied, io
  [[nodiscard]] static Outcome<std::unique_ptr<Supervisor>> create(Config config);
  ~Supervisor();

  /// Until SIGTERM or SIGINT.
  [[nodiscard]] Outcome<void> run();

 private:
  enum class Stage { wanted, surveying, unwatched, employed, watched };
  struct Guest {
    std::string name;
    FoundGuest place;
    Monitor monitor;
    Stage stage = Stage::wanted;
    Isolation isolation = Isolation::process;
    std::optional<Started> guard;
    FileDescriptor guard_socket;
    uid_t guard_user = 0;
    std::optional<GuestRam> ram;
    std::optional<FvmProcess> fvm;
    StatusPacket status;
    Time guard_started{}, next_try{}, lost_at{};
    Cause lost_cause = Cause::asked;
    bool was_watched = false;   ///< by this supervisor, since the guest came
    unsigned failures = 0;      ///< of its guard, in a row
    unsigned fvm_failures = 0;  ///< FVMs that did not take it up, in a row
    unsigned slow = 0;          ///< FVMs that were too slow as soon as they watched, in a row
    Time watched_since{};
    RateLimit losses{10, 30, std::chrono::steady_clock::now()};  ///< FVMs that it may cost
    std::uint64_t takeovers = 0;
    double last_gap_ms = 0;
    std::string trouble;  ///< why it is not watched, in words
    std::string logged_head;
    pid_t herald = -1;  ///< its process; -1: none
    Time herald_again{};
    std::string herald_trouble;
  };

  explicit Supervisor(Config config) : config_(std::move(config)) {}
  Outcome<void> prepare();

  void look_for_guests();
  [[nodiscard]] std::vector<FoundGuest> find_guests();
  [[nodiscard]] Outcome<Monitor> connect(const FoundGuest& place) const;
  void hear_children(Time now);
  void hear_guards(Time now);
  void hear_guard(Guest& guest, Bytes packet, Time now);
  void advance(Guest& guest, Time now);
  Outcome<void> start_guard(Guest& guest, Time now);
  [[nodiscard]] Outcome<Started> start_guard_as(const Guest& guest, uid_t user,
                                                const FileDescriptor& socket) const;
  void employ(Guest& guest, Time now);
  void want_herald(Guest& guest, Time now);
  static void end_herald(Guest& guest);
  void fill_pool(Time now);

  void start_super(Time now);
  void hear_super(Time now);
  void examine(FvmProcess& fvm);
  [[nodiscard]] Outcome<FvmProcess> start_fvm(Isolation isolation);
  [[nodiscard]] std::list<FvmProcess>::iterator standby(Isolation isolation, Time now);

  void fvm_lost(Guest& guest, Cause cause, Time since, Time now, std::string_view how = {});
  void guard_lost(Guest& guest, int status, Time now);
  void let_go(Guest& guest, std::string_view why);
  void destroy(FvmProcess& fvm);
  /// @returns too_large  all that there are run something
  [[nodiscard]] Outcome<uid_t> take_user();
  void free_user(uid_t user);
  [[nodiscard]] Outcome<void> own_evidence(const std::string& folder, uid_t user) const;

  std::string answer(std::string_view request);
  std::string status() const;
  void say(std::string_view text) const;
  void log_head(Guest& guest);

  Config config_;
  FileDescriptor state_lock_, machines_lock_, libvirt_lock_, signals_, pack_, program_;
  std::optional<Started> super_;
  FileDescriptor super_socket_;
  uid_t super_user_ = 0;
  Time super_heard_{}, super_again_{};
  std::uint64_t super_rounds_ = 0, super_starts_ = 0, next_serial_ = 1;
  std::optional<ControlSocket> control_;
  std::map<std::string, std::unique_ptr<Guest>, std::less<>> guests_;
  std::list<FvmProcess> pool_;
  std::unique_ptr<FvmImage> image_;  ///< only where a guest wants microVMs
  std::set<uid_t> users_;
  uid_t next_user_ = 0;
  std::uint64_t next_generation_ = 1;
  Time next_scan_{}, next_fill_{}, next_heads_{};
  bool draining_ = false, ending_ = false;
  std::string libvirt_trouble_;              ///< why its domains are not watched; said once
  std::set<std::string, std::less<>> held_;  ///< names that an operator detached
};

}  // namespace vitrine::fvm
