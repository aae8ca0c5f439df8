#include "machine/process_maps.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "memory/file_descriptor.h"

namespace vitrine {
namespace {

std::optional<std::uint64_t> take_number(std::string_view& text, int base, char then) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  const auto used = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || used >= text.size() || text[used] != then) return std::nullopt;
  text.remove_prefix(used + 1);
  return value;
}

std::optional<ProcessMapping> parse_line(std::string_view line) {
  ProcessMapping one;
  const auto start = take_number(line, 16, '-');
  const auto end = start ? take_number(line, 16, ' ') : std::nullopt;
  if (!end || *end <= *start || line.size() < 5 || line[4] != ' ') return std::nullopt;
  one.start = Hva{*start};
  one.end = Hva{*end};
  one.readable = line[0] == 'r';
  one.writable = line[1] == 'w';
  one.executable = line[2] == 'x';
  one.shared = line[3] == 's';
  line.remove_prefix(5);
  const auto offset = take_number(line, 16, ' ');
  const auto major = offset ? take_number(line, 16, ':') : std::nullopt;
  const auto minor = major ? take_number(line, 16, ' ') : std::nullopt;
  if (!minor) return std::nullopt;
  line = line.substr(0, line.find('\n'));
  std::uint64_t inode = 0;
  const auto [digits, error] = std::from_chars(line.data(), line.data() + line.size(), inode, 10);
  if (error != std::errc{}) return std::nullopt;
  line.remove_prefix(static_cast<std::size_t>(digits - line.data()));
  one.offset = *offset;
  one.device_major = static_cast<std::uint32_t>(*major);
  one.device_minor = static_cast<std::uint32_t>(*minor);
  one.inode = inode;
  if (const auto first = line.find_first_not_of(' '); first != std::string_view::npos) {
    one.path = line.substr(first);
  }
  return one;
}

}  // namespace

std::vector<ProcessMapping> parse_process_maps(std::string_view text) {
  std::vector<ProcessMapping> maps;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (auto one = parse_line(text.substr(0, end))) maps.push_back(std::move(*one));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return maps;
}

Outcome<std::string> read_proc_file(const std::string& path, std::size_t limit) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  int error = file ? 0 : errno;
  while (file && text.size() < limit) {
    const auto before = text.size();
    text.resize(before + 65536);
    const auto got = ::read(file.get(), text.data() + before, 65536);
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
  }
  if (error == 0) return text;
  const auto code = error == ENOENT || error == ESRCH   ? Errc::vanished
                    : error == EACCES || error == EPERM ? Errc::denied
                                                        : Errc::io;
  return std::unexpected(
      Problem(code, fmt::format("cannot read {}: {}", path, std::strerror(error))));
}

Outcome<std::vector<ProcessMapping>> read_process_maps(pid_t pid) {
  const auto text = TRY(read_proc_file(fmt::format("/proc/{}/maps", pid)));
  return parse_process_maps(text);
}

const ProcessMapping* mapping_at(const std::vector<ProcessMapping>& maps, Hva at) {
  const auto after = std::ranges::upper_bound(maps, at, {}, &ProcessMapping::start);
  if (after == maps.begin()) return nullptr;
  const auto& one = *std::prev(after);
  return one.contains(at) ? &one : nullptr;
}

}  // namespace vitrine
