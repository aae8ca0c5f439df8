#include "probe/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "memory/file_descriptor.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {

struct Outputs::File {
  FileDescriptor fd;
  bool regular = false;
  bool fresh = true;  ///< not yet emptied
  bool told = false;  ///< that it loses
  bool torn = false;  ///< ends within a record that found no room
  std::uint64_t lost = 0;
  std::string reason;

  /// Takes the last bytes back, which are a part of a record that found no room.
  bool cut_back(std::size_t bytes) {
    if (!regular) return false;
    const auto end = ::lseek(fd.get(), 0, SEEK_CUR);
    const auto begin = end - static_cast<off_t>(bytes);
    return begin >= 0 && ::ftruncate(fd.get(), begin) == 0 &&
           ::lseek(fd.get(), begin, SEEK_SET) == begin;
  }
};

Outputs::Outputs(OutputOptions options) : options_(std::move(options)) {}
Outputs::~Outputs() = default;

std::string Outputs::path_of(const vmipl::Output& output) const {
  if (!output.channel) return output.name;
  const auto at = options_.channel_files.find(output.name);
  return at == options_.channel_files.end() ? std::string() : at->second;
}

Outcome<void> Outputs::open(const vmipl::Program& program) {
  const std::lock_guard lock(mutex_);
  std::set<std::uint16_t> used;
  for (const auto& site : program.sites) {
    // Snapshot, DumpProcess and Screenshot make their file when they run.
    const auto& probe = vmipl::probes()[site.probe];
    if (probe.kind != vmipl::ProbeKind::action || (probe.needs & vmipl::Needs::files) == 0)
      used.insert(site.output);
  }
  for (const auto& probe : program.probes) used.insert(probe.output);
  for (const auto index : used) {
    if (index == vmipl::Site::kStandard || index >= program.outputs.size()) continue;
    const auto path = path_of(program.outputs[index]);
    if (path.empty() || files_.contains(path)) continue;
    // Not to wait for a reader of a pipe, now or when it is full.
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (fd < 0) {
      const int error = errno;
      std::string hint;
      if (error == ENXIO)
        hint = "nobody reads this pipe yet: start its reader first";
      else if (error == ENOENT)
        hint = "its folder does not exist";
      else if (error == EISDIR)
        hint = "it is a folder";
      return std::unexpected(Problem(
          error == EACCES || error == EPERM ? Errc::denied : Errc::io,
          fmt::format("{} cannot be written: {}", path, std::strerror(error)), std::move(hint)));
    }
    auto file = std::make_unique<File>();
    file->fd = FileDescriptor(fd);
    struct stat status{};
    file->regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    files_.emplace(path, std::move(file));
  }
  return {};
}

void Outputs::commit(const vmipl::Program& program) {
  const std::lock_guard lock(mutex_);
  std::set<std::string> used;
  for (const auto& output : program.outputs) used.insert(path_of(output));
  // What lost something stays, to be told at the end.
  std::erase_if(files_, [&](const auto& file) {
    return !used.contains(file.first) && file.second->lost == 0;
  });
  for (auto& [path, file] : files_) {
    if (file->fresh && file->regular && ftruncate(file->fd.get(), 0) != 0)
      file->reason = std::strerror(errno);
    file->fresh = false;
  }
}

bool Outputs::is_file(const vmipl::Program& program, std::uint16_t output) const {
  return output != vmipl::Site::kStandard && output < program.outputs.size() &&
         !path_of(program.outputs[output]).empty();
}

bool Outputs::has_room(std::size_t bytes) {
  if (!options_.room || options_.room(bytes)) return true;
  if (standard_slow_++ == 0 && options_.remark)
    options_.remark("! standard output: its reader is too slow; what is lost is counted");
  return false;
}

bool Outputs::to_standard(std::string_view stream, std::string_view text) {
  if (text.empty()) return true;
  if (closed_) {
    ++standard_lost_;
    return false;
  }
  if (!has_room(text.size())) {
    // It may have been the end of a line: what follows begins one.
    if (in_line_) open_line_ = '\n';
    return false;
  }
  std::string out;
  if (options_.json) {
    out = text;
  } else {
    // Another stream's unfinished line is ended; a channel's lines begin with its name.
    if (in_line_ && open_line_ != stream) {
      out += '\n';
      in_line_ = false;
    }
    for (std::string_view rest = text; !rest.empty();) {
      const auto end = std::min(rest.find('\n'), rest.size() - 1) + 1;
      if (!in_line_ && !stream.empty()) out += fmt::format("{} ", stream);
      out += rest.substr(0, end);
      in_line_ = rest[end - 1] != '\n';
      rest.remove_prefix(end);
    }
    open_line_ = stream;
  }
  if (options_.standard && !options_.standard(out)) {
    closed_ = true;
    ++standard_lost_;
    return false;
  }
  return true;
}

bool Outputs::write(const vmipl::Program& program, std::uint16_t output, std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (output == vmipl::Site::kStandard || output >= program.outputs.size())
    return to_standard({}, text);
  const auto& to = program.outputs[output];
  const auto at = files_.find(path_of(to));
  if (at == files_.end()) return to_standard((to.channel ? "#" : "") + to.name, text);
  auto& file = *at->second;
  const auto whole = text.size();
  if (file.torn && ::write(file.fd.get(), "\n", 1) == 1) file.torn = false;
  if (file.torn) {
    ++file.lost;
    return false;
  }
  while (!text.empty()) {
    const auto written = ::write(file.fd.get(), text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
      continue;
    }
    const int error = errno;
    if (written < 0 && error == EINTR) continue;
    ++file.lost;
    if (text.size() < whole) file.torn = !file.cut_back(whole - text.size());
    if (!file.told) {
      file.told = true;
      file.reason = error == EAGAIN  ? "its reader is too slow"
                    : error == EPIPE ? "its reader went away"
                                     : std::strerror(error);
      if (options_.remark)
        options_.remark(fmt::format("! {}: {}; what is lost is counted", at->first, file.reason));
    }
    return false;
  }
  return true;
}

bool Outputs::write_line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (!has_room(text.size())) return false;
  std::string out;
  if (in_line_ && !options_.json) out += '\n';
  in_line_ = false;
  out += text;
  if (closed_ || (options_.standard && !options_.standard(out))) {
    closed_ = true;
    return false;
  }
  return true;
}

void Outputs::remark(std::string_view words) {
  const std::lock_guard lock(mutex_);
  if (options_.remark) options_.remark(words);
}

void Outputs::wait_for_reader() {
  const std::lock_guard lock(mutex_);
  if (options_.patient) options_.patient();
}

void Outputs::flush() {
  const std::lock_guard lock(mutex_);
  if (options_.flush && !options_.flush()) closed_ = true;
}

bool Outputs::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

std::vector<OutputLoss> Outputs::losses() const {
  const std::lock_guard lock(mutex_);
  std::vector<OutputLoss> out;
  if (standard_lost_ != 0) out.push_back({"standard output", standard_lost_, "it takes no more"});
  if (standard_slow_ != 0)
    out.push_back({"standard output", standard_slow_, "its reader is too slow"});
  for (const auto& [path, file] : files_) {
    if (file->lost != 0) out.push_back({path, file->lost, file->reason});
  }
  return out;
}

}  // namespace vitrine::probe
