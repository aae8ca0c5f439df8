#include "machine/growing_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"

namespace vitrine {

Outcome<GrowingFile> GrowingFile::create(const char* name) {
  FileDescriptor file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) return std::unexpected(Problem(Errc::io, "the host gives no file in memory"));
  return GrowingFile(std::move(file));
}

std::string GrowingFile::take(std::size_t most) {
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(most, waiting())), '\0');
  const auto got =
      bytes.empty() ? 0
                    : ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(taken_));
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  taken_ += bytes.size();
  if (const auto whole = taken_ / kPageSize * kPageSize; whole > given_back_ + 16 * kPageSize) {
    (void)::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      static_cast<off_t>(given_back_), static_cast<off_t>(whole - given_back_));
    given_back_ = whole;
  }
  return bytes;
}

std::uint64_t GrowingFile::waiting() const {
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) return 0;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  return size > taken_ ? size - taken_ : 0;
}

}  // namespace vitrine
