#include "fvm/sensor/bar_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

namespace vitrine::fvm {
namespace {

std::string read_line(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 128> text;
  const auto size = file ? ::read(file.get(), text.data(), text.size()) : -1;
  std::string line(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return line.substr(0, line.find('\n'));
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(folder.c_str()), &::closedir);
  while (const auto* entry = handle ? ::readdir(handle.get()) : nullptr) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

}  // namespace

std::vector<Bar> ivshmem_bars(const std::string& devices) {
  std::vector<Bar> bars;
  for (const auto& name : names_in(devices)) {  // "0000:02:00.0"
    const auto folder = devices + "/" + name;
    if (name.size() < 7 || read_line(folder + "/vendor") != "0x1af4" ||
        read_line(folder + "/device") != "0x1110")
      continue;
    Bar bar{.path = folder + "/resource2"};
    struct stat status{};
    if (std::from_chars(name.data() + 5, name.data() + 7, bar.bus, 16).ec != std::errc() ||
        ::stat(bar.path.c_str(), &status) != 0)
      continue;
    bar.size = static_cast<std::uint64_t>(status.st_size);
    bars.push_back(std::move(bar));
  }
  std::ranges::sort(bars, {}, &Bar::bus);
  return bars;
}

std::optional<std::string> verdict_port(const std::string& ports) {
  for (const auto& name : names_in(ports)) {
    if (read_line(ports + "/" + name + "/name") == "vitrine.verdict") return "/dev/" + name;
  }
  return std::nullopt;
}

}  // namespace vitrine::fvm
