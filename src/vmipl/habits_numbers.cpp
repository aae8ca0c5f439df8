// Numbers that people know by the names which C's headers give them.
#include <array>

#include "vmipl/habits.h"

namespace vitrine::vmipl {
namespace {

struct Named {
  std::string_view name;
  unsigned value;
};

}  // namespace

std::optional<unsigned> number_habit(std::string_view word) noexcept {
  // Linux: include/uapi/asm-generic/errno-base.h and errno.h, asm/signal.h, asm-generic/fcntl.h.
  static constexpr auto kNumbers =
      std::to_array<Named>({{"EPERM", 1},         {"ENOENT", 2},        {"ESRCH", 3},
                            {"EINTR", 4},         {"EIO", 5},           {"ENXIO", 6},
                            {"E2BIG", 7},         {"ENOEXEC", 8},       {"EBADF", 9},
                            {"ECHILD", 10},       {"EAGAIN", 11},       {"EWOULDBLOCK", 11},
                            {"ENOMEM", 12},       {"EACCES", 13},       {"EFAULT", 14},
                            {"EBUSY", 16},        {"EEXIST", 17},       {"EXDEV", 18},
                            {"ENODEV", 19},       {"ENOTDIR", 20},      {"EISDIR", 21},
                            {"EINVAL", 22},       {"ENFILE", 23},       {"EMFILE", 24},
                            {"ENOTTY", 25},       {"ETXTBSY", 26},      {"EFBIG", 27},
                            {"ENOSPC", 28},       {"ESPIPE", 29},       {"EROFS", 30},
                            {"EMLINK", 31},       {"EPIPE", 32},        {"ERANGE", 34},
                            {"EDEADLK", 35},      {"ENAMETOOLONG", 36}, {"ENOSYS", 38},
                            {"ENOTEMPTY", 39},    {"ELOOP", 40},        {"EOPNOTSUPP", 95},
                            {"EADDRINUSE", 98},   {"ENETUNREACH", 101}, {"ECONNRESET", 104},
                            {"ENOTCONN", 107},    {"ETIMEDOUT", 110},   {"ECONNREFUSED", 111},
                            {"EINPROGRESS", 115}, {"SIGHUP", 1},        {"SIGINT", 2},
                            {"SIGQUIT", 3},       {"SIGILL", 4},        {"SIGTRAP", 5},
                            {"SIGABRT", 6},       {"SIGBUS", 7},        {"SIGFPE", 8},
                            {"SIGKILL", 9},       {"SIGUSR1", 10},      {"SIGSEGV", 11},
                            {"SIGUSR2", 12},      {"SIGPIPE", 13},      {"SIGALRM", 14},
                            {"SIGTERM", 15},      {"SIGCHLD", 17},      {"SIGCONT", 18},
                            {"SIGSTOP", 19},      {"O_RDONLY", 0},      {"O_WRONLY", 1},
                            {"O_RDWR", 2},        {"O_CREAT", 0100},    {"O_EXCL", 0200},
                            {"O_TRUNC", 01000},   {"O_APPEND", 02000},  {"AF_UNIX", 1},
                            {"AF_INET", 2},       {"AF_INET6", 10},     {"AF_NETLINK", 16},
                            {"PROT_READ", 1},     {"PROT_WRITE", 2},    {"PROT_EXEC", 4}});
  for (const auto& number : kNumbers) {
    if (number.name == word) return number.value;
  }
  return std::nullopt;
}

}  // namespace vitrine::vmipl
