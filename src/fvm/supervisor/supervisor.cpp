#include "fvm/supervisor/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
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
#include "fvm/log_line.h"
#include "fvm/sandbox/seccomp.h"
#include "fvm/supervisor/chosen_image.h"
#include "fvm/supervisor/policy_remarks.h"
#include "fvm/supervisor/sealed_file.h"
#include "symptom/pack.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kScan{200};

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

/// The program as it is now, for every FVM from now on: what is measured is what runs.
Outcome<FileDescriptor> copy_program(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty())
    return std::unexpected(Problem(Errc::io, fmt::format("{} cannot be read", path)));
  return sealed_file("vitrine-fvm", bytes_of(bytes));
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
  if (!config_.libvirt.empty() &&
      ::access((config_.programs + "/vitrine-libvirt").c_str(), X_OK) != 0)
    return std::unexpected(Problem(
        Errc::not_found,
        fmt::format("{}/vitrine-libvirt is not there: domains of {} cannot be guarded",
                    config_.programs, config_.libvirt),
        "it is built where libvirt-dev is installed; without `libvirt` in the configuration the "
        "folder alone is watched"));
  program_ = TRY(copy_program(config_.programs + "/vitrine-fvm"));
  if (config_.uses(Isolation::microvm)) {
    auto image = TRY(chosen_image(config_));
    if (image)
      image_ = std::make_unique<FvmImage>(std::move(*image));
    else
      say("there is no FVM image: every guest is watched by a process");
  }
  if (image_) {
    say(fmt::format("FVM image {}: Linux {}, {}", config_.image, image_->release,
                    image_->measurement));
  }
  const auto pack = symptom::Pack::load(config_.rules);
  for (const auto& problem : pack.problems()) say(fmt::format("rules: {}", problem.message));
  for (const auto& remark : policy_remarks(config_, pack)) say(remark);
  if (!has_landlock())
    say("this kernel has no Landlock: empty roots and seccomp alone hold guards and FVMs");
  if (pack.files().empty()) say("no rules: FVMs will watch for nothing but their own health");
  pack_ = TRY(sealed_file("vitrine-pack", pack.to_bytes()));
  // Some ten descriptors a guest: the usual 1,024 serve a hundred.
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
    descriptors.rlim_cur = descriptors.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &descriptors);
  }
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
    if (guest->guard) kill_at_once(*guest->guard);
    end_herald(*guest);
  }
  for (auto& fvm : pool_) destroy(fvm);
  if (super_) kill_at_once(*super_);
  guests_.clear();  // who carries a guest's monitor ends when its connection is closed
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
}

void Supervisor::say(std::string_view text) const { log_line("vitrined", text); }

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
      look_for_guests();
      for (auto& fvm : pool_) {
        drain(fvm);
        examine(fvm);
      }
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
      if (guest->herald == pid && !stopped) {
        guest->herald = -1;
        if (guest->guard)
          say(fmt::format("{}: nobody says any more that something happens: its herald ended",
                          guest->name));
      } else if (guest->fvm && guest->fvm->process.pid == pid) {
        fvm_lost(*guest, stopped ? Cause::stopped : Cause::exited, now, now,
                 fmt::format(" ({} {})", child.si_code == CLD_EXITED ? "status" : "signal",
                             child.si_status));
      } else if (guest->guard && guest->guard->pid == pid) {
        if (stopped)
          kill_at_once(*guest->guard);  // its end is heard in a moment
        else
          guard_lost(*guest, child.si_code == CLD_EXITED ? child.si_status : -child.si_status, now);
      }
    }
    if (super_ && super_->pid == pid) {
      if (stopped) {
        kill_at_once(*super_);
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
      if (stopped) kill_at_once(fvm.process);
      free_user(fvm.user);
      return true;
    });
  }
}

Outcome<uid_t> Supervisor::take_user() {
  if (::geteuid() != 0) return uid_t{0};
  constexpr uid_t kUsers = 4096;
  if (users_.size() >= kUsers)
    return std::unexpected(
        Problem(Errc::too_large, fmt::format("all {} users of guards and FVMs are taken", kUsers)));
  while (users_.contains(next_user_))
    next_user_ = config_.first_user + (next_user_ + 1 - config_.first_user) % kUsers;
  const auto user = next_user_;
  users_.insert(user);
  next_user_ = config_.first_user + (next_user_ + 1 - config_.first_user) % kUsers;
  return user;
}

void Supervisor::free_user(uid_t user) { users_.erase(user); }

}  // namespace vitrine::fvm
