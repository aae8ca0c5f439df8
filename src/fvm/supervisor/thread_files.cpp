#include "fvm/supervisor/thread_files.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <filesystem>

namespace vitrine::fvm {

std::vector<FileDescriptor> thread_files(pid_t pid) {
  std::vector<FileDescriptor> files;
  std::error_code error;
  for (const auto& thread :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    if (files.size() >= 2 * kMostThreads) break;
    const auto open = [&](const char* name) {
      return FileDescriptor(::open((thread.path() / name).c_str(), O_RDONLY | O_CLOEXEC));
    };
    auto account = open("schedstat"), state = open("stat");
    if (!account || !state) continue;  // it ended, or this kernel keeps no account
    files.push_back(std::move(account));
    files.push_back(std::move(state));
  }
  return files;
}

}  // namespace vitrine::fvm
