#include "fvm/supervisor/sealed_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

namespace vitrine::fvm {

Outcome<FileDescriptor> sealed_file(const char* name, Bytes bytes) {
  const auto refuse = [&] {
    return std::unexpected(Problem(Errc::io, fmt::format("{} cannot be kept in memory", name)));
  };
  const FileDescriptor file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  for (std::size_t done = 0; file && done < bytes.size();) {
    const auto wrote = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (wrote <= 0) return refuse();
    done += static_cast<std::size_t>(wrote);
  }
  if (!file || ::fcntl(file.get(), F_ADD_SEALS,
                       F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return refuse();
  FileDescriptor readable(
      ::open(fmt::format("/proc/self/fd/{}", file.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!readable) return refuse();
  return readable;
}

}  // namespace vitrine::fvm
