// GrowingFile: a file in memory that QEMU writes and we read, and that can hold up nobody.
//
// A pipe or socket that nobody empties stops whoever writes to it, here the machine's main loop.
// A file does not: if we stall it grows. What was read is given back to the host at once.
#pragma once

#include <cstdint>
#include <string>

#include "base/problem.h"
#include "memory/file_descriptor.h"

namespace vitrine {

class GrowingFile {
 public:
  /// @returns io  the host refused
  [[nodiscard]] static Outcome<GrowingFile> create(const char* name);

  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }
  /// What was written since the last call, at most `most` bytes; empty if nothing was.
  [[nodiscard]] std::string take(std::size_t most = 1024 * 1024);
  /// Bytes written and not yet taken.
  [[nodiscard]] std::uint64_t waiting() const;

 private:
  explicit GrowingFile(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
  std::uint64_t taken_ = 0, given_back_ = 0;
};

}  // namespace vitrine
