#include "machine/qemu_process.h"

#include <dirent.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include "base/edit_distance.h"
#include "machine/process_maps.h"
#include "machine/process_start.h"

namespace vitrine {
namespace {

std::optional<pid_t> parse_pid(std::string_view text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc{} || end != text.data() + text.size() || pid <= 0) return std::nullopt;
  return pid;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const auto end = text.find('\0');
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return words;
}

std::string read_link(const std::string& path) {
  std::array<char, 4096> target;
  const auto size = ::readlink(path.c_str(), target.data(), target.size());
  return size < 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(size));
}

std::string file_name(std::string_view path) {
  if (path.ends_with(" (deleted)")) path.remove_suffix(10);
  return std::string(path.substr(path.rfind('/') + 1));
}

bool named_like_qemu(std::string_view name) {
  return name.starts_with("qemu-system-") || name == "qemu-kvm" || name == "kvm" || name == "qemu";
}

std::string user_name(std::uint32_t uid) {
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return fmt::format("{}", uid);
}

/// The working directory in which QEMU was started: a daemonized one has moved to "/".
std::string started_in(pid_t pid) {
  const auto environment = read_proc_file(fmt::format("/proc/{}/environ", pid), 1 << 20);
  if (!environment) return {};
  for (const auto& word : split_words(*environment)) {
    if (word.starts_with("PWD=/")) return word.substr(4);
  }
  return {};
}

bool is_socket(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

/// Where a socket of QEMU's file system lies in ours.
std::string reachable_path(pid_t pid, const std::string& path) {
  std::vector<std::string> candidates;
  if (path.starts_with('/')) {
    candidates = {fmt::format("/proc/{}/root{}", pid, path), path};
  } else {
    candidates = {fmt::format("/proc/{}/cwd/{}", pid, path),
                  fmt::format("/proc/{}/root{}/{}", pid, started_in(pid), path)};
  }
  for (const auto& candidate : candidates) {
    if (is_socket(candidate)) return candidate;
  }
  return {};
}

/// The path to which the listening socket behind a descriptor of QEMU is bound.
std::string bound_path(pid_t pid, int descriptor) {
  const auto link = read_link(fmt::format("/proc/{}/fd/{}", pid, descriptor));
  if (!link.starts_with("socket:[") || !link.ends_with(']')) return {};
  const auto inode = " " + link.substr(8, link.size() - 9) + " ";
  const auto table = read_proc_file(fmt::format("/proc/{}/net/unix", pid));
  if (!table) return {};
  // "Num RefCount Protocol Flags Type St Inode Path": connected ones share the path.
  const auto at = table->find(inode);
  if (at == std::string::npos) return {};
  const auto begin = at + inode.size();
  return table->substr(begin, table->find('\n', begin) - begin);
}

void find_monitors(QemuProcess& process) {
  for (const auto& option : process.options.monitors) {
    QmpEndpoint endpoint;
    auto path = option.unix_path;
    if (option.socket_fd) path = bound_path(process.pid, *option.socket_fd);
    endpoint.shown = !path.empty() ? path : "tcp:" + option.host + ":" + option.port;
    if (!option.server && !option.socket_fd) {
      process.unreachable_monitors.push_back(
          fmt::format("{}: QEMU is the client there", endpoint.shown));
    } else if (option.abstract || path.starts_with('@')) {
      process.unreachable_monitors.push_back(fmt::format("{}: an abstract socket", endpoint.shown));
    } else if (!path.empty()) {
      endpoint.path = reachable_path(process.pid, path);
      if (endpoint.path.empty()) {
        process.unreachable_monitors.push_back(
            fmt::format("{}: no such socket, or not ours to see", path));
      } else {
        process.monitors.push_back(std::move(endpoint));
      }
    } else if (!option.port.empty()) {
      endpoint.host = option.host;
      endpoint.port = option.port;
      process.monitors.push_back(std::move(endpoint));
    }
  }
}

std::optional<QemuProcess> look_at(pid_t pid) {
  const auto command_line = read_proc_file(fmt::format("/proc/{}/cmdline", pid), 4 << 20);
  if (!command_line || command_line->empty()) return std::nullopt;  // gone, or a kernel thread
  const auto words = split_words(*command_line);

  QemuProcess process;
  process.pid = pid;
  const auto link = read_link(fmt::format("/proc/{}/exe", pid));
  process.executable = file_name(link.empty() ? words.front() : link);
  auto program = process.executable;
  if (!named_like_qemu(program)) program = file_name(words.front());
  const bool named = named_like_qemu(program);
  // A renamed QEMU still has QEMU's options, and has them right after its name: a
  // launcher (sudo, strace) has a program's name there first, or one of QEMU's further on.
  const bool launches = std::any_of(words.begin() + 1, words.end(), [](const auto& word) {
    const auto file = file_name(word);  // not a folder of QEMU's, as -L names
    return file.starts_with("qemu-system-") || file == "qemu-kvm";
  });
  const bool optioned = words.size() > 1 && words[1].starts_with('-') && !launches;
  if (!named && !optioned) return std::nullopt;
  process.options = parse_qemu_options(words);
  if (!named && process.options.recognised < 3) return std::nullopt;
  if (program.starts_with("qemu-system-")) process.architecture = program.substr(12);

  struct stat status{};
  if (::stat(fmt::format("/proc/{}", pid).c_str(), &status) != 0) return std::nullopt;
  process.uid = status.st_uid;
  process.user = user_name(process.uid);
  process.start_time = start_time_of(pid);
  find_monitors(process);
  return process;
}

/// Equal but for the case of letters, as UUIDs are.
bool same_text(std::string_view one, std::string_view other) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(one, other, {}, lower, lower);
}

constexpr std::size_t kMostNames = 5;

std::string list_names(std::vector<const QemuProcess*> processes, std::string_view near) {
  std::ranges::sort(processes, {}, [&](const QemuProcess* one) {
    return std::pair(edit_distance(one->name(), near, std::max(one->name().size(), near.size())),
                     one->pid);
  });
  std::vector<std::string> names;
  for (const auto* one : processes) {
    if (names.size() == kMostNames) break;
    names.push_back(fmt::format("{} (pid {})", one->name(), one->pid));
  }
  auto list = fmt::format("{}", fmt::join(names, ", "));
  if (processes.size() > kMostNames)
    list += fmt::format(" and {} more", processes.size() - kMostNames);
  return list;
}

/// Who called listen() on a socket that no command line names.
std::optional<pid_t> listener_at(const std::string& path) {
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!socket || path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) {
    return std::nullopt;
  }
  return peer.pid;
}

}  // namespace

std::string QemuProcess::name() const {
  return options.name.empty() ? fmt::format("qemu-{}", pid) : options.name;
}

std::vector<QemuProcess> find_qemu_processes() {
  std::vector<pid_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), &::closedir);
  while (const auto* entry = folder ? ::readdir(folder.get()) : nullptr) {
    if (const auto pid = parse_pid(entry->d_name)) pids.push_back(*pid);
  }
  std::ranges::sort(pids);
  std::vector<QemuProcess> found;
  for (const auto pid : pids) {
    if (auto process = look_at(pid)) found.push_back(std::move(*process));
  }
  return found;
}

Outcome<QemuProcess> qemu_process(pid_t pid) {
  if (auto process = look_at(pid)) return std::move(*process);
  const bool runs = ::access(fmt::format("/proc/{}", pid).c_str(), F_OK) == 0;
  if (!runs)
    return std::unexpected(Problem(Errc::not_found, fmt::format("no process has the pid {}", pid)));
  return std::unexpected(Problem(Errc::not_found,
                                 fmt::format("process {} is not a QEMU machine", pid),
                                 "`vitrine vms` lists the machines of this host"));
}

Outcome<QemuProcess> find_qemu(std::string_view text) {
  auto wanted = text;
  if (wanted.starts_with("pid:")) wanted.remove_prefix(4);
  std::optional<Problem> no_such_pid;
  if (const auto pid = parse_pid(wanted)) {
    auto by_pid = qemu_process(*pid);
    if (by_pid || text != wanted) return by_pid;
    no_such_pid = std::move(by_pid.error());  // unless a machine is called by this number
  }

  auto all = find_qemu_processes();
  std::vector<const QemuProcess*> candidates;
  std::vector<QemuProcess*> matches;
  const auto socket = std::string(text.starts_with("unix:") ? text.substr(5) : text);
  struct stat asked{};
  const bool by_socket = socket.find('/') != std::string::npos &&
                         ::stat(socket.c_str(), &asked) == 0 && S_ISSOCK(asked.st_mode);
  for (auto& process : all) {
    candidates.push_back(&process);
    if (by_socket) {
      for (const auto& monitor : process.monitors) {
        struct stat own{};
        if (!monitor.tcp() && ::stat(monitor.path.c_str(), &own) == 0 &&
            own.st_dev == asked.st_dev && own.st_ino == asked.st_ino) {
          matches.push_back(&process);
          break;
        }
      }
    } else if (process.options.name == text || process.name() == text ||
               (!process.options.uuid.empty() && same_text(process.options.uuid, text))) {
      matches.push_back(&process);
    }
  }
  if (matches.size() == 1) return std::move(*matches.front());
  if (matches.size() > 1) {
    std::vector<std::string> pids;
    for (const auto* one : matches) pids.push_back(fmt::format("{}", one->pid));
    return std::unexpected(Problem(Errc::invalid,
                                   fmt::format("{} machines are called {}: pids {}", matches.size(),
                                               text, fmt::join(pids, ", ")),
                                   "say which by its pid"));
  }
  if (no_such_pid) return std::unexpected(std::move(*no_such_pid));
  if (by_socket) {
    if (const auto pid = listener_at(socket)) return qemu_process(*pid);
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("no QEMU machine listens at {}", text)));
  }
  if (all.empty()) {
    return std::unexpected(
        Problem(Errc::not_found,
                fmt::format("no QEMU machine is called {}: none runs here that we can see", text),
                "start one, or give the path of a memory image"));
  }
  return std::unexpected(Problem(
      Errc::not_found,
      fmt::format("no QEMU machine is called {}; there {} {}", text, all.size() == 1 ? "is" : "are",
                  list_names(candidates, text)),
      "give a name, a pid, a QMP socket or a memory image; `vitrine vms` lists the machines"));
}

bool still_runs(const QemuProcess& process) {
  return process.start_time != 0 && start_time_of(process.pid) == process.start_time;
}

}  // namespace vitrine
