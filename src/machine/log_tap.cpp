#include "machine/log_tap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace vitrine {
namespace {

using Json = nlohmann::json;
constexpr std::size_t kLongestLine = 64 * 1024;

struct LogOptions {
  std::string file;     ///< -D
  bool in_use = false;  ///< -d, -trace
};

LogOptions log_options(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  LogOptions options;
  std::string last;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\0', at), text.size());
    auto word = text.substr(at, end - at);
    if (word.starts_with("--")) word.erase(0, 1);
    if (last == "-D") options.file = word;
    if (word == "-d" || word == "-trace") options.in_use = true;
    last = std::move(word);
    at = end + 1;
  }
  return options;
}

std::string standard_error_of(pid_t pid) {
  std::array<char, 4096> target{};
  const auto size =
      ::readlink(fmt::format("/proc/{}/fd/2", pid).c_str(), target.data(), target.size() - 1);
  return size > 0 ? std::string(target.data(), static_cast<std::size_t>(size)) : std::string();
}

}  // namespace

Outcome<void> log_can_be_tapped(const QemuProcess& process) {
  const auto options = log_options(process.pid);
  if (options.in_use && options.file.empty()) {
    return std::unexpected(Problem(
        Errc::unsupported, "QEMU's log is in use and goes to its stderr (-d or -trace, without -D)",
        "start the machine with -D FILE"));
  }
  return {};
}

Outcome<void> LogTap::follow(const std::string& path) {
  const auto through = fmt::format("/proc/{}/{}{}", monitor_.process().pid,
                                   path.starts_with('/') ? "root" : "cwd/", path);
  owners_log_ = FileDescriptor(::open(through.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!owners_log_)
    return std::unexpected(
        Problem(Errc::denied, fmt::format("the machine's log {} cannot be read", path)));
  ::lseek(owners_log_.get(), 0, SEEK_END);
  words_.push_back(fmt::format("what is tapped stands in the machine's own log too: {}", path));
  return {};
}

Outcome<void> LogTap::redirect(Qmp& qmp) {
  file_.emplace(TRY(GrowingFile::create("vitrine-log")));
  const auto added =
      Json::parse(TRY(qmp.execute_with_file("add-fd", {}, file_->descriptor())), nullptr, false);
  if (!added.is_object() || !added.contains("fd") || !added["fd"].is_number_integer() ||
      !added.contains("fdset-id") || !added["fdset-id"].is_number_integer()) {
    return std::unexpected(Problem(Errc::protocol, "add-fd answered nonsense"));
  }
  const auto said =
      qmp.human(fmt::format("logfile /proc/self/fd/{}", added["fd"].get<long long>()));
  (void)qmp.execute("remove-fd",
                    fmt::format(R"({{"fdset-id":{}}})", added["fdset-id"].get<long long>()));
  if (!said) return std::unexpected(said.error());
  if (!said->empty())
    return std::unexpected(
        Problem(Errc::unsupported, fmt::format("QEMU's log cannot be redirected: {}",
                                               said->substr(0, said->find_first_of("\r\n")))));
  return {};
}

Outcome<std::unique_ptr<LogTap>> LogTap::open(const Monitor& monitor, Guardian& guardian,
                                              std::string_view events) {
  TRY(log_can_be_tapped(monitor.process()));
  std::unique_ptr<LogTap> tap(new LogTap(monitor, guardian));
  auto qmp = TRY(monitor.talk());  // after `tap`, whose end needs the socket
  const auto objects =
      Json::parse(TRY(qmp->execute("qom-list", R"({"path":"/objects"})")), nullptr, false);
  if (objects.is_array()) {
    for (const auto& object : objects) {
      if (!object.is_object() || !object.contains("name") || !object["name"].is_string()) continue;
      const auto name = object["name"].get<std::string>();
      const auto named = OwnerMark::parse(name);
      if (named && named->what.starts_with("log-")) {
        return std::unexpected(
            Problem(Errc::unsupported,
                    fmt::format("another Vitrine (pid {}) taps QEMU's log", named->owner.pid),
                    "end that one first"));
      }
    }
  }
  // What the owner has switched on stays on.
  for (const char letter : events) {
    const auto event = find_trace_event(letter);
    if (!event) continue;
    const auto state =
        qmp->execute("trace-event-get-state", fmt::format(R"({{"name":"{}"}})", event->name));
    if (!state)
      return std::unexpected(
          Problem(Errc::unsupported, fmt::format("this QEMU has no trace event {}", event->name)));
    if (state->find("\"unavailable\"") != std::string::npos) {
      return std::unexpected(
          Problem(Errc::unsupported,
                  fmt::format("this QEMU was built without the trace event {}", event->name)));
    }
    if (state->find("\"disabled\"") != std::string::npos) tap->marker_.events += letter;
  }
  const auto options = log_options(monitor.process().pid);
  const auto prefix = OwnerMark::self().prefix();
  if (!options.file.empty()) {
    tap->marker_.home = LogMarker::kept;
    TRY(tap->follow(options.file));
  } else {
    const auto home = standard_error_of(monitor.process().pid);
    const bool again =
        home.starts_with("pipe:") || home.starts_with("/dev/pts/") || home.starts_with("/dev/tty");
    tap->marker_.home = again ? LogMarker::error : LogMarker::null;
    if (!again && home != "/dev/null") {
      tap->words_.push_back(
          fmt::format("QEMU's log went to its stderr ({}), which cannot be opened again without a "
                      "loss: it goes to /dev/null now",
                      home.empty() ? "not known" : home));
    }
  }
  Undo undo;
  const auto id = prefix + tap->marker_.name();
  for (const auto& [command, arguments] : tap->marker_.undo())
    undo.commands.push_back({command, arguments});
  undo.commands.push_back({"object-del", fmt::format(R"({{"id":{}}})", json_quoted(id))});
  tap->promise_ = TRY(guardian.promise(undo));
  // From here on the destructor undoes it.
  TRY(qmp->execute("object-add",
                   fmt::format(R"({{"qom-type":"secret","id":{},"data":"a marker of Vitrine"}})",
                               json_quoted(id))));
  if (options.file.empty()) TRY(tap->redirect(*qmp));
  for (const char letter : tap->marker_.events) {
    TRY(qmp->execute("trace-event-set-state", fmt::format(R"({{"name":"{}","enable":true}})",
                                                          find_trace_event(letter)->name)));
  }
  return tap;
}

LogTap::~LogTap() {
  if (!promise_) return;
  auto qmp = monitor_.talk();
  if (!qmp) return;  // the guardian does it
  bool good = true;
  for (const auto& [command, arguments] : marker_.undo()) {
    good = (*qmp)->execute(command, arguments).has_value() && good;
  }
  good = (*qmp)
             ->execute("object-del",
                       fmt::format(R"({{"id":{}}})",
                                   json_quoted(OwnerMark::self().prefix() + marker_.name())))
             .has_value() &&
         good;
  if (good) guardian_.kept(*promise_);
}

std::vector<std::string> LogTap::take_lines() {
  std::string bytes;
  if (file_) {
    bytes = file_->take();
  } else {
    bytes.resize(256 * 1024);
    const auto got = ::read(owners_log_.get(), bytes.data(), bytes.size());
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  std::vector<std::string> lines;
  rest_ += bytes;
  std::size_t start = 0;
  for (std::size_t end; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1)
    lines.push_back(rest_.substr(start, end - start));
  rest_.erase(0, start);
  if (rest_.size() > kLongestLine) rest_.clear();  // no line of QEMU's is so long
  return lines;
}

}  // namespace vitrine
