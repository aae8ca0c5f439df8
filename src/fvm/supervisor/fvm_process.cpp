#include "fvm/supervisor/fvm_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <array>

#include "fvm/packet.h"
#include "fvm/verdict/frame.h"

namespace vitrine::fvm {

Outcome<FvmProcess> start_process_fvm(const FvmPrograms& programs, uid_t user) {
  auto channel = TRY(packet_pair());
  auto door = TRY(packet_pair());
  auto page = TRY(ControlPage::create());
  // The FVM's own descriptor of the page cannot be written through.
  const FileDescriptor readable(
      ::open(fmt::format("/proc/self/fd/{}", page.file()).c_str(), O_RDONLY | O_CLOEXEC));
  FileDescriptor writable(::fcntl(page.file(), F_DUPFD_CLOEXEC, 3));
  if (!readable || !writable)
    return std::unexpected(Problem(Errc::io, "the control page cannot be opened"));
  FvmProcess fvm{.user = user, .started = std::chrono::steady_clock::now()};
  fvm.process = TRY(start_in_box(
      {.program = fmt::format("/proc/self/fd/{}", programs.program),
       .words = {"vitrine-fvm", "process"},
       .descriptors = {channel.second.get(), readable.get(), door.second.get(), programs.pack},
       .user = user,
       .file_limit = kLongestLog,
       .nice = kWatcherNice,
       .log = programs.log}));
  fvm.channel = std::move(channel.first);
  fvm.control = std::move(writable);
  fvm.door = std::move(door.first);
  return fvm;
}

bool drain(FvmProcess& fvm) {
  std::array<std::byte, 64 * kFrameBytes> buffer;
  for (int turn = 0; turn < 16; ++turn) {
    // Whole frames alone: whoever listens next must not begin in the middle of one.
    auto got = ::recv(fvm.channel.get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_PEEK);
    if (got == 0) return false;
    const auto whole = got - got % static_cast<ssize_t>(kFrameBytes);
    if (whole <= 0) return true;
    got = ::recv(fvm.channel.get(), buffer.data(), static_cast<std::size_t>(whole), MSG_DONTWAIT);
    fvm.drained += static_cast<std::uint64_t>(got);
  }
  return true;
}

}  // namespace vitrine::fvm
