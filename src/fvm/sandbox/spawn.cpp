#include "fvm/sandbox/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace vitrine::fvm {
namespace {

constexpr uid_t kInside = 1000;
constexpr const char* kPlace =
    "/tmp";  ///< any folder: the new root is mounted over it, out of anyone's sight

/// What the child tells when a step fails; the parent puts it into words.
struct Failure {
  int error;
  char step[32];
};

[[noreturn]] void give_up(int report, const char* step) {
  Failure failure{errno, {}};
  std::strncpy(failure.step, step, sizeof failure.step - 1);
  (void)!::write(report, &failure, sizeof failure);
  ::_exit(127);
}

#define STEP(condition, name) \
  if (!(condition)) give_up(report, name)

/// A root with nothing in it but the binds; runs in the child, single-threaded.
void enter_empty_root(const Box& box, const std::vector<int>& sources, int report) {
  STEP(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount private");
  // Any folder serves as the place; the sources are open already, so hiding them is no harm.
  STEP(::mount("vitrine", kPlace, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
               "size=64k,mode=0755") == 0,
       "mount root");
  STEP(::chdir(kPlace) == 0, "chdir root");
  for (std::size_t i = 0; i < box.binds.size(); ++i) {
    const auto target = kPlace + box.binds[i].target;
    struct stat status{};
    STEP(::fstat(sources[i], &status) == 0, "stat bind");
    if (S_ISDIR(status.st_mode)) {
      STEP(::mkdir(target.c_str(), 0755) == 0, "mkdir bind");
    } else {
      const int file = ::open(target.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
      STEP(file >= 0, "create bind");
      ::close(file);
    }
    STEP(::syscall(SYS_move_mount, sources[i], "", AT_FDCWD, target.c_str(),
                   0x4 /* MOVE_MOUNT_F_EMPTY_PATH */) == 0,
         "bind");
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV;
    if (!box.binds[i].executable) flags |= MS_NOEXEC;
    if (!box.binds[i].writable) flags |= MS_RDONLY;
    STEP(::mount(nullptr, target.c_str(), nullptr, flags, nullptr) == 0, "remount bind");
  }
  for (const auto& [name, target] : box.links)
    STEP(::symlink(target.c_str(), (kPlace + name).c_str()) == 0, "link");
  if (box.proc) {
    const auto place = std::string(kPlace) + "/proc";
    STEP(::mkdir(place.c_str(), 0555) == 0, "mkdir proc");
    STEP(::mount("proc", place.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0,
         "mount proc");
  }
  STEP(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  STEP(::umount2(".", MNT_DETACH) == 0, "leave the old root");
  STEP(::chdir("/") == 0, "chdir");
  STEP(::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
               nullptr) == 0,
       "root read-only");
}

/// Moves the descriptors to 3, 4, 5 ... and closes all others.
void arrange_descriptors(const Box& box, int& program, int& report) {
  const int count = static_cast<int>(box.descriptors.size());
  const int above = 3 + count + 2;
  std::vector<int> kept;
  for (const int one : box.descriptors) kept.push_back(::fcntl(one, F_DUPFD, above));
  program = ::fcntl(program, F_DUPFD, above);
  report = ::fcntl(report, F_DUPFD, above);
  for (int i = 0; i < count; ++i) {
    STEP(kept[static_cast<std::size_t>(i)] >= 0 &&
             ::dup2(kept[static_cast<std::size_t>(i)], 3 + i) == 3 + i,
         "descriptors");
  }
  STEP(::dup3(program, 3 + count, O_CLOEXEC) >= 0 && ::dup3(report, 4 + count, O_CLOEXEC) >= 0,
       "descriptors");
  program = 3 + count;
  report = 4 + count;
  STEP(::syscall(SYS_close_range, 5U + static_cast<unsigned>(count), ~0U, 0) == 0, "close");
}

[[noreturn]] void child(const Box& box, const std::vector<int>& sources, int program, int report,
                        int go, int null, int log, bool root) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setsid();  // no terminal's signals, and a share of the CPUs of its own
  char ready = 0;
  STEP(::read(go, &ready, 1) == 1, "parent");  // the maps are written
  // Root's other groups go with root; anybody else's cannot be given up from in here.
  STEP(!root || ::setgroups(0, nullptr) == 0, "setgroups");
  STEP(::setresgid(kInside, kInside, kInside) == 0 && ::setresuid(kInside, kInside, kInside) == 0,
       "setuid");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // the change of user cleared it
  STEP(::dup2(null, 0) == 0 && ::dup2(null, 1) == 1 && ::dup2(log, 2) == 2, "stdio");
  enter_empty_root(box, sources, report);
  arrange_descriptors(box, program, report);
  const rlimit descriptors{box.descriptor_limit, box.descriptor_limit}, none{0, 0},
      file{box.file_limit, box.file_limit};
  STEP(::setrlimit(RLIMIT_NOFILE, &descriptors) == 0 && ::setrlimit(RLIMIT_CORE, &none) == 0 &&
           (box.file_limit == 0 || ::setrlimit(RLIMIT_FSIZE, &file) == 0),
       "limits");
  STEP(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  sigset_t nothing;
  ::sigemptyset(&nothing);
  ::sigprocmask(SIG_SETMASK, &nothing, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a log that is full ends nobody
  std::vector<char*> words;
  for (const auto& word : box.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  char* environment[] = {nullptr};
  ::syscall(SYS_execveat, program, "", words.data(), environment, AT_EMPTY_PATH);
  give_up(report, "execute");
}

#undef STEP

/// Half of what may be written is left to whoever begins with it.
FileDescriptor open_log(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0 &&
      static_cast<std::uint64_t>(status.st_size) > kLongestLog / 2)
    (void)::rename(path.c_str(), (path + ".old").c_str());
  return FileDescriptor(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
}

bool write_file(const std::string& path, std::string_view text) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

Outcome<Started> start_in_box(const Box& box) {
  const auto refuse = [&](Errc code, std::string_view what, int error, std::string hint = {}) {
    return std::unexpected(Problem(
        code,
        fmt::format("{} cannot be started: {}: {}", box.words.front(), what, std::strerror(error)),
        std::move(hint)));
  };
  const FileDescriptor program(::open(box.program.c_str(), O_RDONLY | O_CLOEXEC));
  if (!program) return refuse(Errc::not_found, box.program, errno);
  const FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const auto log = box.log.empty() ? FileDescriptor() : open_log(box.log);
  // Copies of the mounts, made here, where the sources can be reached whoever the child is.
  std::vector<FileDescriptor> sources;
  std::vector<int> source_numbers;
  for (const auto& bind : box.binds) {
    sources.emplace_back(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, bind.source.c_str(),
                                                    1U /* OPEN_TREE_CLONE */ | O_CLOEXEC)));
    if (!sources.back()) return refuse(Errc::not_found, bind.source, errno);
    source_numbers.push_back(sources.back().get());
  }
  int report[2], go[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return refuse(Errc::io, "pipe", errno);
  FileDescriptor report_in(report[0]), report_out(report[1]);
  if (::pipe2(go, O_CLOEXEC) != 0) return refuse(Errc::io, "pipe", errno);
  FileDescriptor go_in(go[0]), go_out(go[1]);

  const bool root = ::geteuid() == 0;
  int pidfd = -1;
  clone_args how{};
  how.flags = CLONE_PIDFD | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
              CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  how.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  how.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
  if (pid < 0) {
    return refuse(errno == EPERM ? Errc::denied : Errc::io, "namespaces", errno,
                  "user namespaces must be allowed: sysctl kernel.unprivileged_userns_clone, "
                  "user.max_user_namespaces");
  }
  if (pid == 0) {
    child(box, source_numbers, program.get(), report_out.get(), go_in.get(), null.get(),
          log ? log.get() : null.get(), root);
  }
  Started started{pid, FileDescriptor(pidfd)};
  report_out.reset();
  const auto user = box.user != 0 ? box.user : ::geteuid();
  const auto group = box.user != 0 ? box.user : ::getegid();
  const auto folder = fmt::format("/proc/{}", pid);
  const bool mapped = (root || write_file(folder + "/setgroups", "deny")) &&
                      write_file(folder + "/gid_map", fmt::format("{} {} 1", kInside, group)) &&
                      write_file(folder + "/uid_map", fmt::format("{} {} 1", kInside, user));
  const int map_error = errno;
  if (box.nice != 0) (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), box.nice);
  if (mapped) (void)!::write(go_out.get(), "1", 1);
  go_out.reset();
  Failure failure{};
  const auto told =
      ::read(report_in.get(), &failure, sizeof failure);  // closed by a successful exec
  if (told == sizeof failure || !mapped) {
    ::waitpid(pid, nullptr, 0);
    return mapped ? refuse(Errc::io, failure.step, failure.error)
                  : refuse(Errc::denied, "user map", map_error);
  }
  if (box.nice != 0) (void)set_share(pid, box.nice);
  return started;
}

void kill_at_once(const Started& started) noexcept {
  ::syscall(SYS_pidfd_send_signal, started.pidfd.get(), SIGKILL, nullptr, 0);
}

bool set_share(pid_t pid, int nice) {
  return write_file(fmt::format("/proc/{}/autogroup", pid), fmt::format("{}", nice));
}

}  // namespace vitrine::fvm
