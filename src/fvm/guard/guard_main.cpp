#include "fvm/guard/guard_main.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "fvm/guard/guard.h"
#include "fvm/log_line.h"
#include "fvm/sandbox/seccomp.h"

namespace vitrine::fvm {
namespace {

constexpr int kSupervisor = 3, kMonitor = 4, kKey = 5, kPolicy = 6;

Outcome<std::string> read_text(int file) {
  std::string text;
  std::array<char, 65536> piece;
  while (true) {
    const auto got = ::pread(file, piece.data(), piece.size(), static_cast<off_t>(text.size()));
    if (got < 0 || text.size() > (1 << 20))
      return std::unexpected(Problem(Errc::io, "the policy cannot be read"));
    if (got == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
}

Outcome<void> guard(const std::string& guest, bool emulated, const std::string& policy_name,
                    const std::array<std::byte, 16>& boot, const std::string& machine) {
  auto key = TRY(evidence::SigningKey::read(kKey));
  ::close(kKey);
  const auto policy_text = TRY(read_text(kPolicy));
  ::close(kPolicy);
  auto policy =
      policy_text.empty() ? Policy::usual() : TRY(Policy::parse(policy_text, policy_name));
  constexpr std::array<std::string_view, 1> kFolders = {"/evidence"};
  TRY(restrict_files(kFolders));
  TRY(lock_down(guard_rules()));

  auto store = TRY(evidence::Store::open("/evidence/evidence.db", guest, std::move(key)));
  auto qmp = TRY(Qmp::adopt(FileDescriptor(kMonitor),
                            {std::chrono::milliseconds(1000), std::chrono::milliseconds(1000)}));
  Guard guard(
      {.guest = guest, .machine = machine, .policy = std::move(policy), .emulated = emulated},
      FileDescriptor(kSupervisor), Response(std::move(qmp), "/evidence/snapshots"),
      Notebook(std::move(store), guest, boot));
  return guard.run();
}

}  // namespace

int run_guard(int argc, char** argv) {
  if (argc != 6) {
    fmt::print(stderr, "vitrine-guard is started by vitrined; docs/guard.md says how\n");
    return 64;
  }
  const auto boot = evidence::parse_boot(argv[4]);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  const auto done = guard(argv[1], std::string_view(argv[2]) == "emulated", argv[3], boot, argv[5]);
  if (done) return 0;
  log_line("vitrine-guard", fmt::format("{}: {}", argv[1], done.error().message));
  return done.error().code == Errc::vanished ? 2 : 1;
}

}  // namespace vitrine::fvm
