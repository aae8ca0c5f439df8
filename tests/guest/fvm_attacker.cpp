// An FVM that has fallen: the real program, with a traitor inside. Signals tell it what to do;
// what it manages to do, the test sees from outside.
//
//   before it locks itself down   it tries what the box must refuse, and says what worked
//   SIGUSR1                       its engine hangs in an endless loop; its heart beats on
//   SIGALRM                       its engine waits for ever; its heart beats on
//   SIGUSR2                       its verdicts fall silent; heartbeats go on
//   SIGWINCH                      it writes noise into the verdict channel
//   SIGURG                        it floods the channel with frames that are right but for a number
//   SIGCONT                       it writes over every descriptor that can be mapped for writing
//   SIGIO                         it makes a system call that it must not make
//
// As init of a microVM, where no signal reaches it: its engine hangs a second after it was given a
// guest.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "fvm/sensor/pulse.h"
#include "fvm/sensor/sensor_main.h"
#include "fvm/super/super.h"
#include "fvm/verdict/frame.h"

namespace {

std::atomic<bool> silent{false};
constexpr int kChannel = 3;

extern "C" ssize_t __real_write(int file, const void* bytes, size_t size);
extern "C" ssize_t __wrap_write(int file, const void* bytes, size_t size);

/// The Reporter's own write: what is no heartbeat never leaves.
extern "C" ssize_t __wrap_write(int file, const void* bytes, size_t size) {
  const bool verdict = file == kChannel && size == vitrine::fvm::kFrameBytes &&
                       static_cast<const char*>(bytes)[6] != 1;
  if (silent && verdict) return static_cast<ssize_t>(size);
  return __real_write(file, bytes, size);
}

void hang(int) {
  while (true) {
  }
}
void block(int) {
  timespec long_time{1'000'000, 0};
  while (true) ::nanosleep(&long_time, nullptr);
}
void hang_once_employed(int) {
  static bool employed = false;
  if (employed) hang(0);
  const auto* pulse = reinterpret_cast<const vitrine::fvm::Pulse*>(vitrine::fvm::kPulseAddress);
  employed = pulse->generation != 0;
}
void fall_silent(int) { silent = true; }
void make_noise(int) {
  char noise[vitrine::fvm::kFrameBytes];
  std::memset(noise, 0x5a, sizeof noise);
  for (int i = 0; i < 1000; ++i) (void)!__real_write(kChannel, noise, sizeof noise);
}
void flood(int) {
  const auto frame = vitrine::fvm::encode(
      {.type = vitrine::fvm::FrameType::heartbeat, .number = 1, .generation = 1});
  for (int i = 0; i < 1'000'000; ++i) {
    if (__real_write(kChannel, frame.data(), frame.size()) < 0) break;
  }
}
/// RAM of the guest and the control page, if any of it can be had writable.
void scribble(int) {
  for (int file = 3; file < 32; ++file) {
    void* bytes = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes != MAP_FAILED) std::memset(bytes, 0xaa, 4096);
  }
}
void forbidden(int) { ::socket(AF_INET, SOCK_STREAM, 0); }

void say(const char* what, bool worked) {
  if (worked) fmt::print(stderr, "ESCAPED: {}\n", what);
}

bool can_open(const char* path, int how) {
  const int file = ::open(path, how);
  if (file >= 0) ::close(file);
  return file >= 0;
}

/// What user, namespaces and the empty root must refuse even without seccomp.
void try_the_box() {
  for (const auto* path : {"/etc/passwd", "/proc/self/mem", "/dev/mem", "/dev/kvm", "/sys/kernel",
                           "/var", "/usr", "/work", "/tmp"}) {
    say(path, can_open(path, O_RDONLY));
  }
  say("a new file", can_open("/new", O_CREAT | O_RDWR));
  say("a mount", ::mount("x", "/", "tmpfs", 0, nullptr) == 0);
  say("root", ::setuid(0) == 0);
  say("a signal to another process", ::kill(1, 0) == 0 && ::getpid() != 1);
  const int net = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(22);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  say("the network",
      net >= 0 && ::connect(net, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  if (net >= 0) ::close(net);
  const int local = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  std::strcpy(path.sun_path, "/run/vitrine/control.sock");
  say("the supervisor's socket",
      local >= 0 && ::connect(local, reinterpret_cast<sockaddr*>(&path), sizeof path) == 0);
  if (local >= 0) ::close(local);
  fmt::print(stderr, "tried the box\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (::getpid() == 1 && argc == 1) {
    const itimerval second{{1, 0}, {2, 0}};  // the first not before the pulse is there
    ::signal(SIGALRM, hang_once_employed);
    ::setitimer(ITIMER_REAL, &second, nullptr);
    return vitrine::fvm::run_init();
  }
  const std::string_view role = argc == 2 ? argv[1] : "";
  if (role == "super") return vitrine::fvm::run_super();
  if (role != "process") return 64;
  try_the_box();
  ::signal(SIGUSR1, hang);
  ::signal(SIGALRM, block);
  ::signal(SIGUSR2, fall_silent);
  ::signal(SIGWINCH, make_noise);
  ::signal(SIGURG, flood);
  ::signal(SIGCONT, scribble);
  ::signal(SIGIO, forbidden);
  return vitrine::fvm::run_process_sensor();
}
