// The supervisor's FVMs: started, kept waiting, examined by the Super FVM, destroyed.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>

#include "fvm/packet.h"
#include "fvm/super/super.h"
#include "fvm/supervisor/supervisor.h"
#include "machine/process_maps.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kFillAgain{1000};
constexpr milliseconds kSettled{500};  ///< an FVM that was well for so long is fast enough

}  // namespace

Outcome<FvmProcess> Supervisor::start_fvm(Isolation isolation) {
  const auto user = TRY(take_user());
  auto started =
      isolation == Isolation::process
          ? start_process_fvm({program_.get(), pack_.get(), config_.state + "/fvms.log"}, user)
          : start_microvm_fvm(
                *image_, {.accelerator = config_.accelerator, .log = config_.state + "/fvms.log"},
                user);
  if (!started) {
    free_user(user);
    return std::unexpected(started.error());
  }
  started->serial = next_serial_++;
  examine(*started);
  return started;
}

void Supervisor::start_super(Time now) {
  if (super_ || now < super_again_) return;
  super_again_ = now + std::chrono::seconds(1);
  auto sockets = packet_pair();
  if (!sockets) return;
  const auto user = take_user();
  if (!user) return say(fmt::format("no Super FVM: {}", user.error().message));
  super_user_ = *user;
  auto started = start_in_box({.program = fmt::format("/proc/self/fd/{}", program_.get()),
                               .words = {"vitrine-fvm", "super"},
                               .descriptors = {sockets->second.get(), program_.get(), pack_.get()},
                               .user = super_user_,
                               .descriptor_limit = 4096,
                               .file_limit = kLongestLog,
                               .nice = kWatcherNice,
                               .log = config_.state + "/fvms.log"});
  if (!started) {
    free_user(super_user_);
    say(fmt::format("no Super FVM: {}", started.error().message));
    return;
  }
  super_ = std::move(*started);
  super_socket_ = std::move(sockets->first);
  super_heard_ = now;
  ++super_starts_;
  for (auto& fvm : pool_) fvm.examined = false, examine(fvm);
  for (const auto& [name, guest] : guests_) {
    if (guest->fvm) guest->fvm->examined = false, examine(*guest->fvm);
  }
}

/// Gives the Super FVM an FVM's memory to look at.
void Supervisor::examine(FvmProcess& fvm) {
  if (!super_ || fvm.examined) return;
  const auto age =
      std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - fvm.started);
  const auto age_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(age.count(), 0));
  if (fvm.isolation == Isolation::microvm) {
    // While it boots there is no kernel to be looked at.
    if (fvm.drained == 0 && fvm.number == 0) return;
    const ExaminePacket packet{.isolation = Isolation::microvm,
                               .serial = fvm.serial,
                               .ram_size = fvm.ram_size,
                               .age_ms = age_ms};
    fvm.examined =
        send_packet(super_socket_.get(), packet_bytes(packet), {fvm.ram.get(), image_->init.get()})
            .has_value();
    return;
  }
  const auto open = [&](std::string_view name) {
    return FileDescriptor(
        ::open(fmt::format("/proc/{}/{}", fvm.process.pid, name).c_str(), O_RDONLY | O_CLOEXEC));
  };
  const auto memory = open("mem"), its_maps = open("maps"), pagemap = open("pagemap");
  const auto maps = read_process_maps(fvm.process.pid);
  if (!memory || !its_maps || !pagemap || !maps) return;
  for (const auto& mapping : *maps) {
    if (!mapping.executable || mapping.inode == 0) continue;
    const ExaminePacket packet{.serial = fvm.serial,
                               .text_start = mapping.start.value,
                               .text_size = mapping.size(),
                               .text_offset = mapping.offset,
                               .age_ms = age_ms};
    fvm.examined = send_packet(super_socket_.get(), packet_bytes(packet),
                               {memory.get(), its_maps.get(), pagemap.get()})
                       .has_value();
    return;
  }
}

void Supervisor::hear_super(Time now) {
  start_super(now);
  for (int turn = 0; super_ && turn < 64; ++turn) {
    auto packet = receive_packet(super_socket_.get(), sizeof(ExaminePacket));
    if (!packet || !*packet) break;
    const auto told = packet_as<SuperPacket>((*packet)->bytes);
    if (!told) continue;
    super_heard_ = now;
    super_rounds_ = told->rounds;
    if (told->cause != static_cast<std::uint32_t>(Cause::altered) &&
        told->cause != static_cast<std::uint32_t>(Cause::silent) &&
        told->cause != static_cast<std::uint32_t>(Cause::stuck))
      continue;
    const auto cause = static_cast<Cause>(told->cause);
    for (auto& [name, guest] : guests_) {
      if (guest->fvm && guest->fvm->serial == told->serial)
        fvm_lost(*guest, cause, now, now, " (so the Super FVM)");
    }
    std::erase_if(pool_, [&](FvmProcess& fvm) {
      if (fvm.serial != told->serial) return false;
      say(fmt::format("a standby FVM is destroyed: {}", words(cause)));
      destroy(fvm);
      return true;
    });
  }
  if (super_ && now - super_heard_ > std::chrono::seconds(1)) {
    say("the Super FVM is silent: it is replaced");
    kill_at_once(*super_);
    super_heard_ = now;
  }
}

/// The one that has waited longest. A microVM is ready once it says so: its first heartbeat.
std::list<FvmProcess>::iterator Supervisor::standby(Isolation isolation, Time) {
  return std::ranges::find_if(pool_, [&](FvmProcess& fvm) {
    return fvm.isolation == isolation &&
           (isolation == Isolation::process || (drain(fvm) && fvm.drained > 0));
  });
}

void Supervisor::fill_pool(Time now) {
  // One at a time, so that what is urgent is not kept waiting; one that does not come up is no
  // standby.
  std::erase_if(pool_, [&](FvmProcess& fvm) {
    if (fvm.drained > 0 || fvm.isolation == Isolation::process ||
        now - fvm.started < std::chrono::seconds(90))
      return false;
    say("a standby microVM did not come up in 90 s: destroyed");
    destroy(fvm);
    return true;
  });
  const bool urgent = std::ranges::any_of(guests_, [](const auto& entry) {
    return entry.second->stage == Stage::surveying || entry.second->stage == Stage::employed;
  });
  if (draining_ || now < next_fill_ || urgent) return;
  std::optional<Isolation> missing;
  for (const auto isolation : {Isolation::process, Isolation::microvm}) {
    const auto waiting = std::ranges::count(pool_, isolation, &FvmProcess::isolation);
    const auto wanting = isolation == Isolation::process
                             ? 0
                             : std::ranges::count_if(guests_, [&](const auto& entry) {
                                 return entry.second->isolation == isolation &&
                                        entry.second->stage == Stage::unwatched &&
                                        entry.second->ram && entry.second->ram->shared;
                               });
    if (isolation == Isolation::microvm && image_ == nullptr) continue;
    if (config_.uses(isolation) && waiting < static_cast<std::ptrdiff_t>(config_.standby) + wanting)
      missing = isolation;
  }
  if (!missing) return;
  auto started = start_fvm(*missing);
  if (!started) {
    say(fmt::format("no standby FVM: {}", started.error().message));
    next_fill_ = now + kFillAgain;
    return;
  }
  pool_.push_back(std::move(*started));
}

void Supervisor::fvm_lost(Guest& guest, Cause cause, Time since, Time now, std::string_view how) {
  say(fmt::format("{}: FVM {} is lost: {}{}", guest.name, guest.fvm->number, words(cause), how));
  destroy(*guest.fvm);
  guest.fvm.reset();
  const bool taken_up = guest.stage == Stage::watched;
  if (taken_up) guest.lost_at = since;
  // One after the other too slow at once: it is the host that is, and the next gets more time.
  const bool slow = taken_up && (cause == Cause::stuck || cause == Cause::silent);
  guest.slow = slow && now - guest.watched_since < kSettled ? guest.slow + 1 : 0;
  guest.lost_cause = cause;
  guest.stage = Stage::unwatched;
  // What fails at once is not tried again at once, again and again.
  guest.fvm_failures = taken_up ? 0 : guest.fvm_failures + 1;
  guest.next_try = guest.fvm_failures < 2
                       ? now
                       : now + milliseconds(50) * (1 << std::min(guest.fvm_failures, 8U));
  if (guest.fvm_failures >= 3)
    guest.trouble = fmt::format("{} FVMs in a row did not take it up: {}{}", guest.fvm_failures,
                                words(cause), how);
  // A guard (or a Super FVM) that fell must not keep us from everybody else by calling one after
  // the other bad.
  if (!guest.losses.take(now)) {
    guest.next_try = std::max(guest.next_try, now + std::chrono::seconds(1));
    guest.trouble = fmt::format("it loses its FVMs too often: {}{}", words(cause), how);
  }
  advance(guest, now);
}

void Supervisor::destroy(FvmProcess& fvm) {
  if (super_)
    (void)send_packet(super_socket_.get(), packet_bytes(ForgetPacket{.serial = fvm.serial}));
  // It never runs again from here on; hear_children() takes what is left of it, in its time.
  kill_at_once(fvm.process);
  free_user(fvm.user);
}

}  // namespace vitrine::fvm
