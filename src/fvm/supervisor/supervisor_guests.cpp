// The supervisor's guests: found, given a guard and an FVM, let go.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "evidence/entry.h"
#include "evidence/moment.h"
#include "evidence/signing_key.h"
#include "fvm/packet.h"
#include "fvm/supervisor/herald.h"
#include "fvm/supervisor/libvirt_domains.h"
#include "fvm/supervisor/sealed_file.h"
#include "fvm/supervisor/supervisor.h"
#include "fvm/supervisor/thread_files.h"
#include "machine/process_start.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;

bool ended(const FileDescriptor& pidfd) {
  pollfd one{pidfd.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

}  // namespace

/// Those of the folder and libvirt's domains; of two of one name, the folder's.
std::vector<FoundGuest> Supervisor::find_guests() {
  auto found = list_guests(config_.machines);
  if (config_.libvirt.empty()) return found;
  const auto troubled = [&](std::string words) {
    if (words != libvirt_trouble_) say(words);
    libvirt_trouble_ = std::move(words);
  };
  if (!libvirt_lock_) {  // the folder is there once libvirt was
    FileDescriptor folder(
        ::open(config_.libvirt_folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) {
      troubled(fmt::format("{}: {}: no domain has run yet, or it cannot be read", config_.libvirt,
                           std::strerror(errno)));
      return found;
    }
    if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) {
      troubled(fmt::format("{}: another vitrined watches its domains", config_.libvirt));
      return found;
    }
    libvirt_lock_ = std::move(folder);
    libvirt_trouble_.clear();
    say(fmt::format("watches the domains of {}", config_.libvirt));
  }
  for (auto& domain : list_domains(config_.libvirt_folder)) {
    const bool known = std::ranges::any_of(found, [&](const FoundGuest& one) {
      const auto guest = guests_.find(one.name);
      return one.name == domain.name ||
             (guest != guests_.end() && guest->second->monitor.pid == domain.domain_pid);
    });
    if (!known) found.push_back(std::move(domain));
  }
  return found;
}

Outcome<Monitor> Supervisor::connect(const FoundGuest& place) const {
  if (place.domain_pid == 0) return connect_monitor(place.path);
  return connect_domain({.program = config_.programs + "/vitrine-libvirt",
                         .uri = config_.libvirt,
                         .log = config_.state + "/guards.log"},
                        place);
}

void Supervisor::look_for_guests() {
  for (auto& one : find_guests()) {
    if (guests_.contains(one.name) || draining_ || held_.contains(one.name) ||
        !config_.guest(one.name).watch)
      continue;
    auto monitor = connect(one);
    if (!monitor) continue;  // its QEMU is not there yet, or no more
    auto guest = std::make_unique<Guest>();
    guest->name = one.name;
    guest->monitor = std::move(*monitor);
    guest->isolation = config_.guest(one.name).isolation;
    say(fmt::format("{}: a {} (QEMU {})", one.name,
                    one.domain_pid == 0 ? "guest" : "domain of libvirt", guest->monitor.pid));
    guest->place = std::move(one);
    const auto name = guest->name;
    guests_.emplace(name, std::move(guest));
  }
  std::erase_if(guests_, [&](auto& entry) {
    auto& guest = *entry.second;
    if (!ended(guest.monitor.pidfd)) return false;
    let_go(guest, "its QEMU ended");
    return true;
  });
}

void Supervisor::hear_guards(Time now) {
  for (auto& [name, guest] : guests_) {
    for (int turn = 0; guest->guard && turn < 64; ++turn) {
      auto packet = receive_packet(guest->guard_socket.get(), sizeof(RangesPacket));
      if (!packet || !*packet) break;  // its end is told by its process
      hear_guard(*guest, (*packet)->bytes, now);
    }
  }
}

void Supervisor::hear_guard(Guest& guest, Bytes bytes, Time now) {
  if (const auto survey = ranges_packet(bytes, PacketType::survey)) {
    if (guest.stage != Stage::surveying) return;
    auto ram = open_guest_ram(guest.monitor.pid, *survey);
    if (!ram) {
      // A guard surveys once: where RAM is now, the next one asks.
      if (guest.trouble != ram.error().message)
        say(fmt::format("{}: {}", guest.name, ram.error().message));
      guest.trouble = ram.error().message;
      guest.guard_socket.reset();  // whatever else it says
      kill_at_once(*guest.guard);
      return;
    }
    if (ended(guest.monitor.pidfd)) return;  // its number, too, may have been another's meanwhile
    ram->layout.cpu_share = config_.cpu_share;
    if (config_.guest(guest.name).automatic) {
      const bool can = ram->shared && image_ != nullptr;
      guest.isolation = can ? Isolation::microvm : Isolation::process;
      say(fmt::format("{}: by a {}: {}", guest.name, can ? "microVM" : "process",
                      !ram->shared        ? "its RAM lies in its QEMU alone"
                      : image_ == nullptr ? "there is no image of a microVM"
                                          : "its RAM is shared"));
    }
    std::vector<int> files;
    for (const auto& file : ram->files) files.push_back(file.file.get());
    if (!send_packet(guest.guard_socket.get(), packet_bytes(ram->layout), files)) return;
    guest.trouble.clear();
    guest.ram = std::move(*ram);
    guest.stage = Stage::unwatched;
  } else if (const auto bad = packet_as<BadPacket>(bytes)) {
    if (!guest.fvm || bad->generation != guest.fvm->number) return;
    const Time since{std::chrono::nanoseconds(bad->since_ns)};
    fvm_lost(guest, bad->cause, since < now ? since : now, now);
  } else if (const auto watched = packet_as<WatchedPacket>(bytes)) {
    if (!guest.fvm || watched->generation != guest.fvm->number || guest.stage != Stage::employed)
      return;
    guest.stage = Stage::watched;
    guest.watched_since = now;
    guest.failures = 0;
    if (guest.was_watched) {
      guest.last_gap_ms = std::chrono::duration<double, std::milli>(now - guest.lost_at).count();
      ++guest.takeovers;
      say(fmt::format("{}: FVM {} took over after {:.0f} ms", guest.name, watched->generation,
                      guest.last_gap_ms));
    } else {
      say(fmt::format("{}: FVM {} watches it ({})", guest.name, watched->generation,
                      guest.ram ? guest.ram->how : ""));
    }
    guest.was_watched = true;
    // All of its threads are there: whether they get a CPU is the kernel's to say.
    const auto threads = thread_files(guest.fvm->process.pid);
    std::vector<int> files;
    for (const auto& file : threads) files.push_back(file.get());
    (void)send_packet(guest.guard_socket.get(),
                      packet_bytes(ThreadsPacket{.generation = watched->generation}), files);
  } else if (const auto status = packet_as<StatusPacket>(bytes)) {
    guest.status = *status;
  }
}

void Supervisor::advance(Guest& guest, Time now) {
  if (guest.stage == Stage::wanted && now >= guest.next_try) {
    if (const auto started = start_guard(guest, now); !started) {
      guest.trouble = started.error().message;
      say(fmt::format("{}: {}", guest.name, guest.trouble));
      guest.next_try = now + std::chrono::seconds(1);
    }
  }
  if (guest.stage == Stage::unwatched && guest.guard && now >= guest.next_try) employ(guest, now);
  if (guest.stage == Stage::watched) want_herald(guest, now);
}

/// One that says when something happens, for who wants it and has the agent, once its kernel is
/// known.
void Supervisor::want_herald(Guest& guest, Time now) {
  if (!config_.guest(guest.name).events || guest.herald > 0 || !guest.guard ||
      guest.status.attached == 0 || now < guest.herald_again)
    return;
  guest.herald_again = now + std::chrono::seconds(10);
  auto herald =
      start_herald(config_.programs + "/vitrine", guest.monitor.pid, config_.state + "/guards.log");
  if (!herald) {
    if (guest.herald_trouble != herald.error().message)
      say(fmt::format("{}: it is looked at in turn alone: {}", guest.name, herald.error().message));
    guest.herald_trouble = herald.error().message;
    return;
  }
  say(fmt::format("{}: what happens in it is heard", guest.name));
  guest.herald_trouble.clear();
  guest.herald = herald->pid;
  (void)send_packet(guest.guard_socket.get(), packet_bytes(WordsPacket{}), {herald->words.get()});
}

void Supervisor::end_herald(Guest& guest) {
  if (guest.herald > 0) ::kill(guest.herald, SIGKILL);  // the agent takes out what it had put in
  guest.herald = -1;
  guest.herald_again = {};
}

Outcome<void> Supervisor::own_evidence(const std::string& folder, uid_t user) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    return std::unexpected(Problem(Errc::io, fmt::format("{}: {}", folder, error.message())));
  ::chmod(folder.c_str(), 0700);
  if (::geteuid() != 0) return {};
  if (::lchown(folder.c_str(), user, user) != 0)
    return std::unexpected(Problem(Errc::io, fmt::format("{}: {}", folder, std::strerror(errno))));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    (void)!::lchown(entry.path().c_str(), user, user);
  }
  return {};
}

Outcome<Started> Supervisor::start_guard_as(const Guest& guest, uid_t user,
                                            const FileDescriptor& socket) const {
  const auto& config = config_.guest(guest.name);
  const auto folder = config_.state + "/evidence/" + guest.name;
  TRY(own_evidence(folder, user));
  const auto key =
      TRY(evidence::SigningKey::load_or_create(config_.state + "/keys/" + guest.name + ".key"));
  const auto seed = TRY(sealed_file("vitrine-key", bytes_of(key.seed())));
  const auto policy = TRY(sealed_file("vitrine-policy", bytes_of(config.policy_text)));
  return start_in_box(
      {.program = config_.programs + "/vitrine-guard",
       .words = {"vitrine-guard", guest.name, config_.accelerator == "tcg" ? "emulated" : "native",
                 config.policy_name.empty() ? "the usual policy" : config.policy_name,
                 evidence::hexadecimal(evidence::boot_identity()),
                 fmt::format("{}@{}", guest.monitor.pid, start_time_of(guest.monitor.pid))},
       .descriptors = {socket.get(), guest.monitor.socket.get(), seed.get(), policy.get()},
       .binds = {{folder, "/evidence", true}},
       .user = user,
       .nice = kWatcherNice,
       .log = config_.state + "/guards.log"});
}

Outcome<void> Supervisor::start_guard(Guest& guest, Time now) {
  if (!guest.monitor.socket) {  // the first guard got the first connection
    auto monitor = TRY(connect(guest.place));
    if (monitor.pid != guest.monitor.pid)
      return std::unexpected(Problem(Errc::vanished, "another QEMU listens at its socket now"));
    guest.monitor.socket = std::move(monitor.socket);
  }
  const auto user = TRY(take_user());
  auto sockets = packet_pair();
  auto started = sockets ? start_guard_as(guest, user, sockets->second)
                         : std::unexpected(Problem(sockets.error()));
  if (!started) {
    free_user(user);
    return std::unexpected(started.error());
  }
  guest.monitor.socket.reset();
  guest.guard = std::move(*started);
  guest.guard_socket = std::move(sockets->first);
  guest.guard_user = user;
  guest.guard_started = now;
  guest.stage = Stage::surveying;
  return {};
}

void Supervisor::employ(Guest& guest, Time now) {
  FvmProcess fvm;
  if (guest.isolation == Isolation::microvm && !guest.ram->shared) {
    guest.trouble = "its RAM lies in its QEMU alone, and cannot be shown to a microVM";
    say(
        fmt::format("{}: {}. Start it with -object memory-backend-memfd,id=ram,size=...,share=on "
                    "-machine memory-backend=ram, or set "
                    "isolation = \"process\" for it",
                    guest.name, guest.trouble));
    guest.next_try = now + std::chrono::hours(24);
    return;
  }
  if (const auto waiting = standby(guest.isolation, now); waiting != pool_.end()) {
    fvm = std::move(*waiting);
    pool_.erase(waiting);
  } else if (guest.isolation == Isolation::microvm) {
    // One that boots takes nobody up. fill_pool() starts it, even where no pool is wanted.
    if (guest.was_watched && guest.trouble.empty())
      say(fmt::format("{}: no standby microVM is ready: it waits for one that boots", guest.name));
    guest.trouble = "no microVM is ready: one boots";
    guest.next_try = now + milliseconds(20);
    return;
  } else {
    if (config_.standby != 0 && guest.was_watched)
      say(fmt::format("{}: no standby FVM is left: one is started now", guest.name));
    auto started = start_fvm(guest.isolation);
    if (!started) {
      guest.trouble = started.error().message;
      say(fmt::format("{}: {}", guest.name, guest.trouble));
      guest.next_try = now + std::chrono::seconds(1);
      return;
    }
    fvm = std::move(*started);
  }
  fvm.number = next_generation_++;
  examine(fvm);
  if (fvm.isolation == Isolation::process || fvm.drained > 0) drain(fvm);
  const EmployPacket packet{.isolation = fvm.isolation,
                            .generation = fvm.number,
                            .lost_ns = guest.was_watched
                                           ? std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                 guest.lost_at.time_since_epoch())
                                                 .count()
                                           : 0,
                            .cause = guest.lost_cause,
                            .patience = guest.slow < 2 ? 1U : 1U << std::min(guest.slow - 1, 4U)};
  const auto sent = send_packet(guest.guard_socket.get(), packet_bytes(packet),
                                {fvm.channel.get(), fvm.control.get(), fvm.door.get()});
  if (!sent) {
    destroy(fvm);  // its guard is about to be heard to have ended
    return;
  }
  // From here on the guard alone holds them.
  fvm.channel.reset();
  fvm.control.reset();
  fvm.door.reset();
  guest.fvm = std::move(fvm);
  guest.stage = Stage::employed;
  guest.trouble.clear();
}

void Supervisor::guard_lost(Guest& guest, int status, Time now) {
  free_user(guest.guard_user);
  end_herald(guest);  // what it says went to that guard
  guest.guard.reset();
  guest.guard_socket.reset();
  guest.ram.reset();
  if (guest.stage == Stage::watched) guest.lost_at = now;
  guest.lost_cause = Cause::guard_lost;
  guest.stage = Stage::wanted;
  if (guest.fvm)
    destroy(
        *guest.fvm);  // who spoke to it is gone: what it said is lost, a fresh one says it again
  guest.fvm.reset();
  const bool guest_gone = status == 2 || ended(guest.monitor.pidfd);
  if (guest_gone) {
    next_scan_ = now;
    guest.next_try = now + milliseconds(100);
    return;
  }
  const bool soon = now - guest.guard_started < std::chrono::seconds(1);
  guest.failures = soon ? guest.failures + 1 : 0;
  const auto pause = guest.failures < 3
                         ? milliseconds(0)
                         : milliseconds(100) * (1 << std::min(guest.failures - 3, 8U));
  guest.next_try = now + pause;
  say(fmt::format(
      "{}: its guard ended ({}); a new one {}", guest.name,
      status < 0 ? fmt::format("signal {}", -status) : fmt::format("status {}", status),
      pause.count() == 0 ? "is started" : fmt::format("is started in {} ms", pause.count())));
  if (guest.failures >= 3 && guest.trouble.empty())
    guest.trouble = "its guard ends again and again: see guards.log in the state folder";
  advance(guest, now);
}

/// Ends the watch over a guest: its guard writes what it has, then goes.
void Supervisor::let_go(Guest& guest, std::string_view why) {
  end_herald(guest);
  if (guest.guard) {
    const auto leave = PacketType::leave;
    (void)send_packet(guest.guard_socket.get(), std::as_bytes(std::span(&leave, 1)));
    pollfd end{guest.guard->pidfd.get(), POLLIN, 0};
    // hear_children() takes what is left of it: one that a disk holds up holds up nobody else.
    if (::poll(&end, 1, 200) == 0) kill_at_once(*guest.guard);
    while (true) {  // its last words
      auto packet = receive_packet(guest.guard_socket.get(), sizeof(RangesPacket));
      if (!packet || !*packet) break;
      if (const auto status = packet_as<StatusPacket>((*packet)->bytes)) guest.status = *status;
    }
    free_user(guest.guard_user);
    guest.guard.reset();
  }
  if (guest.fvm) destroy(*guest.fvm);
  guest.fvm.reset();
  log_head(guest);
  say(fmt::format("{}: no longer watched: {}", guest.name, why));
}

}  // namespace vitrine::fvm
