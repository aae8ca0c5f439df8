#include "fvm/sandbox/seccomp.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "memory/file_descriptor.h"

namespace vitrine::fvm {
namespace {

#define CALL(name) SCMP_SYS(name), #name

constexpr auto kSensor = std::to_array<Rule>({
    {CALL(read), "bytes of the pack, before it is locked; never a socket but the assignment's"},
    {CALL(pread64), "guest RAM that only its QEMU has mapped"},
    {CALL(write), "frames of the verdict channel"},
    {CALL(close), "the files of RAM once they are mapped"},
    {CALL(recvmsg), "the guest's RAM comes as descriptors, once"},
    {CALL(fstat), "how long a RAM file is"},
    {CALL(newfstatat), "the same, as newer C libraries ask", 3, AT_EMPTY_PATH, AT_EMPTY_PATH},
    {CALL(fstatfs), "the C library asks what kind of file it maps"},
    {CALL(lseek), "which pages of a RAM file were ever touched"},
    {CALL(mmap), "heap and RAM; nothing that could be executed", 2, PROT_EXEC, 0},
    {CALL(mprotect), "the heap grows; nothing becomes executable", 2, PROT_EXEC, 0},
    {CALL(munmap), "heap and RAM"},
    {CALL(mremap), "heap"},
    {CALL(brk), "heap"},
    {CALL(madvise), "heap given back"},
    {CALL(futex), "the heartbeat's thread and the engine's"},
    {CALL(clock_gettime), "time, where the vDSO does not have it"},
    {CALL(gettimeofday), "likewise"},
    {CALL(clock_nanosleep), "rest"},
    {CALL(nanosleep), "rest"},
    {CALL(sched_yield), "locks"},
    {CALL(getrandom), "hash seeds of the libraries"},
    {CALL(getpid), "the libraries ask"},
    {CALL(gettid), "the libraries ask"},
    {CALL(rt_sigaction), "SIGBUS of a RAM file that shrank"},
    {CALL(rt_sigprocmask), "likewise"},
    {CALL(rt_sigreturn), "likewise"},
    {CALL(sigaltstack), "likewise"},
    {CALL(restart_syscall), "after SIGSTOP and SIGCONT"},
    {CALL(tgkill), "abort()"},
    {CALL(rseq), "threads of the C library"},
    {CALL(set_robust_list), "threads of the C library"},
    {CALL(exit), "a thread's end"},
    {CALL(exit_group), "the end"},
    {CALL(dup), "RAM files are kept for a second try", 0, 0, 0},
    {CALL(fcntl), "a descriptor copied with close-on-exec", 1, ~0ULL, F_DUPFD_CLOEXEC},
    // What libraries ask when they start, and can do without: there is nothing to be had.
    {CALL(openat), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(open), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(access), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(faccessat), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(readlink), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(stat), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(ioctl), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(uname), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(sysinfo), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(sched_getaffinity), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(prlimit64), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(getcwd), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(geteuid), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(getuid), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(getgid), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(getegid), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(getrusage), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
    {CALL(prctl), "OpenSSL, YARA, Hyperscan ask; the answer is no", 0, 0, 0, EACCES},
});

constexpr auto kGuardOnly = std::to_array<Rule>({
    {CALL(openat), "SQLite: the store and its journal (Landlock: its folder alone)"},
    {CALL(unlink), "SQLite: the journal"},
    {CALL(unlinkat), "likewise"},
    {CALL(pwrite64), "SQLite: the store"},
    {CALL(fsync), "SQLite: nothing is acknowledged before it is on the disk"},
    {CALL(fdatasync), "likewise"},
    {CALL(ftruncate), "SQLite: the journal"},
    {CALL(fallocate), "SQLite: the shared-memory file of the journal"},
    {CALL(flock), "one writer a store"},
    {CALL(stat), "SQLite"},
    {CALL(lstat), "SQLite"},
    {CALL(newfstatat), "SQLite"},
    {CALL(access), "SQLite"},
    {CALL(faccessat), "SQLite"},
    {CALL(readlink), "SQLite"},
    {CALL(readlinkat), "SQLite"},
    {CALL(getcwd), "SQLite makes paths whole"},
    {CALL(fchmod), "SQLite: the journal has the store's mode"},
    {CALL(fchown), "SQLite: the journal has the store's owner"},
    {CALL(geteuid), "SQLite asks whether it is root"},
    {CALL(getuid), "likewise"},
    {CALL(getgid), "likewise"},
    {CALL(getegid), "likewise"},
    {CALL(fcntl), "SQLite's locks, descriptor flags"},
    {CALL(poll), "waiting for the channel, QMP and the supervisor"},
    {CALL(ppoll), "likewise"},
    {CALL(sendmsg), "QMP, the supervisor, RAM for the FVM"},
    {CALL(sendto), "QMP and the supervisor"},
    {CALL(recvfrom), "QMP, verdicts, the supervisor"},
    {CALL(getsockopt), "QMP: whether the other side is gone", 0, 0, 0},
    {CALL(mkdir), "a folder of snapshots in its own evidence folder"},
    {CALL(mkdirat), "likewise"},
    {CALL(uname), "SQLite"},
    {CALL(sysinfo), "SQLite"},
    {CALL(getdents64), "SQLite"},
    {CALL(prlimit64), "the C library asks for the stack's size", 2, ~0ULL, 0},
});

constexpr auto kMicrovmOnly = std::to_array<Rule>({
    {CALL(openat), "sysfs: the devices that show RAM, once it is there"},
    {CALL(getdents64), "sysfs: the list of devices"},
    {CALL(newfstatat), "sysfs: how large a device's memory is"},
    {CALL(stat), "likewise"},
});

std::vector<Rule> joined(std::span<const Rule> base, std::span<const Rule> more) {
  std::vector<Rule> rules;
  for (const auto& rule : base) {
    bool wider = false;
    for (const auto& own : more) wider = wider || own.call == rule.call;
    if (!wider) rules.push_back(rule);
  }
  rules.insert(rules.end(), more.begin(), more.end());
  return rules;
}

#undef CALL

}  // namespace

std::span<const Rule> sensor_rules() { return kSensor; }

std::span<const Rule> microvm_rules() {
  static const auto all = joined(kSensor, kMicrovmOnly);
  return all;
}

std::span<const Rule> guard_rules() {
  static const auto all = joined(kSensor, kGuardOnly);
  return all;
}

Outcome<void> lock_down(std::span<const Rule> rules) {
  const auto refuse = [](std::string_view what, int error) {
    return std::unexpected(Problem(Errc::unsupported,
                                   fmt::format("seccomp: {}: {}", what, std::strerror(error)),
                                   "this kernel or container does not let a process give up system "
                                   "calls; nothing runs without"));
  };
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refuse("no_new_privs", errno);
  const std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                      &seccomp_release);
  if (filter == nullptr) return refuse("init", ENOMEM);
  for (const auto& rule : rules) {
    const scmp_arg_cmp condition{rule.argument, SCMP_CMP_MASKED_EQ, rule.mask, rule.value};
    const auto action = rule.refusal == 0
                            ? SCMP_ACT_ALLOW
                            : SCMP_ACT_ERRNO(static_cast<std::uint32_t>(rule.refusal));
    const int error =
        seccomp_rule_add_array(filter.get(), action, rule.call, rule.mask == 0 ? 0 : 1, &condition);
    if (error != 0) return refuse(rule.name, -error);
  }
  if (const int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); error != 0)
    return refuse("all threads", -error);
  if (const int error = seccomp_load(filter.get()); error != 0) return refuse("load", -error);
  return {};
}

namespace {
long landlock_version() noexcept {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
}
}  // namespace

bool has_landlock() noexcept { return landlock_version() >= 1; }

Outcome<bool> restrict_files(std::span<const std::string_view> folders) {
  const long version = landlock_version();
  if (version < 1) return false;
  constexpr std::uint64_t kAll = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // the first version's
  const std::uint64_t handled = version >= 2 ? kAll | (kAll + 1) : kAll;  // and REFER
  landlock_ruleset_attr rules{};
  rules.handled_access_fs = handled;
  const auto refuse = [](std::string_view what) {
    return std::unexpected(
        Problem(Errc::io, fmt::format("landlock: {}: {}", what, std::strerror(errno))));
  };
  const FileDescriptor set(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &rules, sizeof(std::uint64_t), 0)));
  if (!set) return refuse("ruleset");
  for (const auto& folder : folders) {
    const FileDescriptor parent(::open(std::string(folder).c_str(), O_PATH | O_CLOEXEC));
    if (!parent) return refuse(folder);
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = kAll & ~std::uint64_t{LANDLOCK_ACCESS_FS_EXECUTE};
    beneath.parent_fd = parent.get();
    if (::syscall(SYS_landlock_add_rule, set.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
      return refuse(folder);
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refuse("no_new_privs");
  if (::syscall(SYS_landlock_restrict_self, set.get(), 0) != 0) return refuse("restrict");
  return true;
}

}  // namespace vitrine::fvm
