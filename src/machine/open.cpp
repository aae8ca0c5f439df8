#include "machine/open.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "machine/image_machine.h"
#include "machine/qemu_machine.h"
#include "machine/qemu_process.h"

namespace vitrine {
namespace {

/// What is wrong with a word that names no machine but can only be a path.
std::optional<Problem> why_no_file(std::string path) {
  if (path.starts_with("unix:")) path.erase(0, 5);
  constexpr auto kWanted = "give a name, a pid, a QMP socket or a memory image";
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISDIR(status.st_mode)) return std::nullopt;
    return Problem(Errc::unsupported, fmt::format("{} is a directory", path), kWanted);
  }
  const int error = errno;
  if (path.find('/') == std::string::npos) return std::nullopt;
  if (error == ENOENT)
    return Problem(Errc::not_found, fmt::format("there is no {}", path), kWanted);
  return Problem(error == EACCES ? Errc::denied : Errc::io,
                 fmt::format("{}: {}", path, std::strerror(error)), kWanted);
}

}  // namespace

Outcome<std::unique_ptr<Machine>> open_machine(std::string_view name_or_path, OpenOptions options) {
  if (name_or_path.starts_with("file:"))
    return open_image(std::string(name_or_path.substr(5)), options.layout);
  const std::string path(name_or_path);
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode) && !S_ISDIR(status.st_mode)) {
    return open_image(path, options.layout);
  }
  auto process = find_qemu(name_or_path);
  if (!process && process.error().code == Errc::not_found) {
    if (auto why = why_no_file(path)) return std::unexpected(*std::move(why));
  }
  return open_qemu(TRY(std::move(process)), {options.layout, options.use_monitor});
}

}  // namespace vitrine
