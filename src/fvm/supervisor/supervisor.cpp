#include "fvm/supervisor/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "evidence/entry.h"
#include "evidence/moment.h"
#include "evidence/signing_key.h"
#include "fvm/packet.h"
#include "fvm/super/super.h"
#include "machine/process_maps.h"
#include "symptom/pack.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kScan{200};
constexpr milliseconds kFillAgain{1000};
constexpr milliseconds kSettled{500};  ///< an FVM that was well for so long is fast enough

Outcome<FileDescriptor> lock(const std::string& path, std::string_view what) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file)
    return std::unexpected(
        Problem(Errc::denied, fmt::format("{} cannot be opened: {}", path, std::strerror(errno))));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    (void)!::pread(file.get(), pid, sizeof pid - 1, 0);
    return std::unexpected(Problem(
        Errc::timeout,
        fmt::format("another vitrined (pid {}) has {}", pid[0] != 0 ? pid : "unknown", what),
        "two supervisors would act on the same guests: end the other one first"));
  }
  const auto pid = std::to_string(::getpid());
  (void)!::ftruncate(file.get(), 0);
  (void)!::pwrite(file.get(), pid.data(), pid.size(), 0);
  return file;
}

/// Bytes in a sealed memfd, opened for reading alone.
Outcome<FileDescriptor> bytes_file(const char* name, Bytes bytes) {
  const FileDescriptor file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file ||
      ::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
          0) {
    return std::unexpected(Problem(Errc::io, fmt::format("{} cannot be kept in memory", name)));
  }
  FileDescriptor readable(
      ::open(fmt::format("/proc/self/fd/{}", file.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable)
    return std::unexpected(Problem(Errc::io, fmt::format("{} cannot be kept in memory", name)));
  return readable;
}

/// The program as it is now, for every FVM from now on: what is measured is what runs.
Outcome<FileDescriptor> copy_program(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty())
    return std::unexpected(Problem(Errc::io, fmt::format("{} cannot be read", path)));
  return bytes_file("vitrine-fvm", bytes_of(bytes));
}

bool ended(const FileDescriptor& pidfd) {
  pollfd one{pidfd.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

}  // namespace

Outcome<std::unique_ptr<Supervisor>> Supervisor::create(Config config) {
  std::unique_ptr<Supervisor> made(new Supervisor(std::move(config)));
  TRY(made->prepare());
  return made;
}

Outcome<void> Supervisor::prepare() {
  for (const auto& folder : {config_.state, config_.state + "/evidence", config_.state + "/keys",
                             config_.runtime, config_.machines}) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error)
      return std::unexpected(
          Problem(Errc::denied, fmt::format("{} cannot be made: {}", folder, error.message())));
  }
  // Guards find their own evidence through a mount; nobody else needs to look in here.
  ::chmod((config_.state + "/keys").c_str(), 0700);
  ::chmod((config_.state + "/evidence").c_str(), 0711);
  state_lock_ = TRY(lock(config_.state + "/vitrined.lock", config_.state));
  machines_lock_ = TRY(lock(config_.machines + "/.vitrined.lock", config_.machines));
  for (const auto* program : {"vitrine-fvm", "vitrine-guard"}) {
    const auto path = config_.programs + "/" + program;
    if (::access(path.c_str(), X_OK) != 0) {
      return std::unexpected(Problem(Errc::not_found, fmt::format("{} is not there", path),
                                     "install it beside vitrined, or set `programs`"));
    }
  }
  program_ = TRY(copy_program(config_.programs + "/vitrine-fvm"));
  if (config_.uses(Isolation::microvm)) {
    image_ = std::make_unique<FvmImage>(TRY(FvmImage::load(config_.image)));
    say(fmt::format("FVM image {}: Linux {}, {}", config_.image, image_->release,
                    image_->measurement));
  }
  const auto pack = symptom::Pack::load(config_.rules);
  for (const auto& problem : pack.problems()) say(fmt::format("rules: {}", problem.message));
  if (pack.files().empty()) say("no rules: FVMs will watch for nothing but their own health");
  pack_ = TRY(bytes_file("vitrine-pack", pack.to_bytes()));
  control_ = TRY(ControlSocket::listen(config_.runtime + "/control.sock"));
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (const int one : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&wanted, one);
  ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_ = FileDescriptor(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  next_user_ = config_.first_user;
  (void)::setpriority(PRIO_PROCESS, 0, kWatcherNice);
  if (::getsid(0) == ::getpid()) (void)set_share(::getpid(), kWatcherNice);
  return {};
}

Supervisor::~Supervisor() {
  for (auto& [name, guest] : guests_) {
    if (guest->fvm) destroy(*guest->fvm);
    if (guest->guard) ::kill(guest->guard->pid, SIGKILL);
  }
  for (auto& fvm : pool_) destroy(fvm);
  if (super_) ::kill(super_->pid, SIGKILL);
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
}

void Supervisor::say(std::string_view text) const { fmt::print(stderr, "vitrined: {}\n", text); }

Outcome<void> Supervisor::run() {
  say(fmt::format("watches the guests of {}", config_.machines));
  while (!ending_) {
    std::vector<pollfd> ready;
    ready.push_back({signals_.get(), POLLIN, 0});
    control_->poll_for(ready);
    for (const auto& [name, guest] : guests_) {
      ready.push_back({guest->monitor.pidfd.get(), POLLIN, 0});
      if (guest->guard) {
        ready.push_back({guest->guard->pidfd.get(), POLLIN, 0});
        ready.push_back({guest->guard_socket.get(), POLLIN, 0});
      }
      if (guest->fvm) ready.push_back({guest->fvm->process.pidfd.get(), POLLIN, 0});
    }
    for (const auto& fvm : pool_) ready.push_back({fvm.process.pidfd.get(), POLLIN, 0});
    if (super_) ready.push_back({super_socket_.get(), POLLIN, 0});
    ::poll(ready.data(), ready.size(), static_cast<int>(kScan.count()));
    const auto now = std::chrono::steady_clock::now();
    hear_children(now);
    hear_guards(now);
    hear_super(now);
    if (now >= next_scan_) {
      next_scan_ = now + kScan;
      look_for_guests(now);
      for (auto& fvm : pool_) drain(fvm);
    }
    for (auto& [name, guest] : guests_) advance(*guest, now);
    fill_pool(now);
    control_->serve([this](std::string_view request) { return answer(request); });
    if (now >= next_heads_) {
      next_heads_ = now + std::chrono::seconds(60);
      for (auto& [name, guest] : guests_) log_head(*guest);
    }
  }
  for (auto& [name, guest] : guests_) let_go(*guest, "vitrined ends");
  return {};
}

/// An anchor that lies elsewhere (the journal): a store whose end is cut off later contradicts it.
void Supervisor::log_head(Guest& guest) {
  if (guest.status.entries == 0) return;
  auto head = fmt::format("{}:{}", guest.status.entries, evidence::hexadecimal(guest.status.head));
  if (head == guest.logged_head) return;
  say(fmt::format("evidence of {}: {}", guest.name, head));
  guest.logged_head = std::move(head);
}

void Supervisor::look_for_guests(Time) {
  const auto found = list_guests(config_.machines);
  for (const auto& one : found) {
    if (guests_.contains(one.name) || draining_ || held_.contains(one.name) ||
        !config_.guest(one.name).watch)
      continue;
    auto monitor = connect_monitor(one.path);
    if (!monitor) continue;  // its QEMU is not there yet, or no more
    auto guest = std::make_unique<Guest>();
    guest->name = one.name;
    guest->path = one.path;
    guest->monitor = std::move(*monitor);
    guest->isolation = config_.guest(one.name).isolation;
    say(fmt::format("{}: a guest (QEMU {})", one.name, guest->monitor.pid));
    guests_.emplace(one.name, std::move(guest));
  }
  std::erase_if(guests_, [&](auto& entry) {
    auto& guest = *entry.second;
    if (!ended(guest.monitor.pidfd)) return false;
    let_go(guest, "its QEMU ended");
    return true;
  });
}

void Supervisor::hear_children(Time now) {
  signalfd_siginfo told{};
  while (::read(signals_.get(), &told, sizeof told) == sizeof told) {
    if (told.ssi_signo == SIGTERM || told.ssi_signo == SIGINT) ending_ = true;
  }
  siginfo_t child{};
  while (child.si_pid = 0,
         ::waitid(P_ALL, 0, &child, WEXITED | WSTOPPED | WNOHANG) == 0 && child.si_pid != 0) {
    const pid_t pid = child.si_pid;
    const bool stopped = child.si_code == CLD_STOPPED;
    for (auto& [name, guest] : guests_) {
      if (guest->fvm && guest->fvm->process.pid == pid) {
        fvm_lost(*guest, stopped ? Cause::stopped : Cause::exited, now, now,
                 fmt::format(" ({} {})", child.si_code == CLD_EXITED ? "status" : "signal",
                             child.si_status));
      } else if (guest->guard && guest->guard->pid == pid) {
        if (stopped)
          ::kill(pid, SIGKILL);  // its end is heard in a moment
        else
          guard_lost(*guest, child.si_code == CLD_EXITED ? child.si_status : -child.si_status, now);
      }
    }
    if (super_ && super_->pid == pid) {
      if (stopped) {
        ::kill(pid, SIGKILL);
      } else {
        say("the Super FVM ended: another one is started");
        super_.reset();
        super_socket_.reset();
        free_user(super_user_);
      }
    }
    std::erase_if(pool_, [&](FvmProcess& fvm) {
      if (fvm.process.pid != pid) return false;
      say(fmt::format("a standby FVM (pid {}) {}", pid,
                      stopped ? "was stopped: destroyed" : "ended"));
      if (stopped) ::kill(pid, SIGKILL);
      free_user(fvm.user);
      return true;
    });
  }
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
      guest.trouble = ram.error().message;
      say(fmt::format("{}: {}", guest.name, guest.trouble));
      return;
    }
    ram->layout.cpu_share = config_.cpu_share;
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
    if (!guest.fvm || watched->generation != guest.fvm->number) return;
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

Outcome<void> Supervisor::start_guard(Guest& guest, Time now) {
  if (!guest.monitor.socket) {  // the first guard got the first connection
    auto monitor = TRY(connect_monitor(guest.path));
    if (monitor.pid != guest.monitor.pid)
      return std::unexpected(Problem(Errc::vanished, "another QEMU listens at its socket now"));
    guest.monitor.socket = std::move(monitor.socket);
  }
  const auto& config = config_.guest(guest.name);
  const auto folder = config_.state + "/evidence/" + guest.name;
  const auto user = take_user();
  TRY(own_evidence(folder, user));
  const auto key =
      TRY(evidence::SigningKey::load_or_create(config_.state + "/keys/" + guest.name + ".key"));
  const auto seed = TRY(bytes_file("vitrine-key", bytes_of(key.seed())));
  const auto policy = TRY(bytes_file("vitrine-policy", bytes_of(config.policy_text)));
  auto sockets = TRY(packet_pair());
  auto started = start_in_box(
      {.program = config_.programs + "/vitrine-guard",
       .words = {"vitrine-guard", guest.name, config_.accelerator == "tcg" ? "emulated" : "native",
                 config.policy_name.empty() ? "the usual policy" : config.policy_name,
                 evidence::hexadecimal(evidence::boot_identity())},
       .descriptors = {sockets.second.get(), guest.monitor.socket.get(), seed.get(), policy.get()},
       .binds = {{folder, "/evidence", true}},
       .user = user,
       .nice = kWatcherNice,
       .log = config_.state + "/guards.log"});
  if (!started) {
    free_user(user);
    return std::unexpected(started.error());
  }
  guest.monitor.socket.reset();
  guest.guard = std::move(*started);
  guest.guard_socket = std::move(sockets.first);
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

Outcome<FvmProcess> Supervisor::start_fvm(Isolation isolation) {
  const auto user = take_user();
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
  super_user_ = take_user();
  auto started = start_in_box({.program = fmt::format("/proc/self/fd/{}", program_.get()),
                               .words = {"vitrine-fvm", "super"},
                               .descriptors = {sockets->second.get(), program_.get()},
                               .user = super_user_,
                               .descriptor_limit = 1024,
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
  for (const auto& fvm : pool_) examine(fvm);
  for (const auto& [name, guest] : guests_) {
    if (guest->fvm) examine(*guest->fvm);
  }
}

/// Gives the Super FVM an FVM's memory to look at.
void Supervisor::examine(const FvmProcess& fvm) {
  if (!super_ || fvm.isolation != Isolation::process) return;
  const FileDescriptor memory(
      ::open(fmt::format("/proc/{}/mem", fvm.process.pid).c_str(), O_RDONLY | O_CLOEXEC));
  const auto maps = read_process_maps(fvm.process.pid);
  if (!memory || !maps) return;
  for (const auto& mapping : *maps) {
    if (!mapping.executable || mapping.inode == 0) continue;
    const ExaminePacket packet{.serial = fvm.serial,
                               .text_start = mapping.start.value,
                               .text_size = mapping.size(),
                               .text_offset = mapping.offset};
    (void)send_packet(super_socket_.get(), packet_bytes(packet), {memory.get()});
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
        told->cause != static_cast<std::uint32_t>(Cause::silent))
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
    ::kill(super_->pid, SIGKILL);
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
  advance(guest, now);
}

void Supervisor::guard_lost(Guest& guest, int status, Time now) {
  free_user(guest.guard_user);
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
  if (guest.failures >= 3)
    guest.trouble = "its guard ends again and again: see guards.log in the state folder";
  advance(guest, now);
}

/// Ends the watch over a guest: its guard writes what it has, then goes.
void Supervisor::let_go(Guest& guest, std::string_view why) {
  if (guest.guard) {
    const auto leave = PacketType::leave;
    (void)send_packet(guest.guard_socket.get(), std::as_bytes(std::span(&leave, 1)));
    pollfd end{guest.guard->pidfd.get(), POLLIN, 0};
    if (::poll(&end, 1, 200) == 0) ::kill(guest.guard->pid, SIGKILL);
    ::waitpid(guest.guard->pid, nullptr, 0);
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

void Supervisor::destroy(FvmProcess& fvm) {
  if (super_)
    (void)send_packet(super_socket_.get(), packet_bytes(ForgetPacket{.serial = fvm.serial}));
  // It never runs again from here on; hear_children() takes what is left of it, in its time.
  ::kill(fvm.process.pid, SIGKILL);
  free_user(fvm.user);
}

uid_t Supervisor::take_user() {
  if (::geteuid() != 0) return 0;
  constexpr uid_t kUsers = 4096;
  while (users_.contains(next_user_))
    next_user_ = config_.first_user + (next_user_ + 1 - config_.first_user) % kUsers;
  const auto user = next_user_;
  users_.insert(user);
  next_user_ = config_.first_user + (next_user_ + 1 - config_.first_user) % kUsers;
  return user;
}

void Supervisor::free_user(uid_t user) { users_.erase(user); }

}  // namespace vitrine::fvm
