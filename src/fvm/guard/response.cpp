#include "fvm/guard/response.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "evidence/moment.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {
namespace {

using Json = nlohmann::json;
constexpr std::chrono::milliseconds kThrottlePeriod{200};
constexpr std::chrono::milliseconds kAskAgain{250};
constexpr std::chrono::minutes kBetweenSnapshots{1};
/// What a snapshot leaves of its file system: a tenth, and no more than this.
constexpr std::uint64_t kMostLeft = std::uint64_t{8} << 30;

std::string text_of(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// What HMP's "info network" lists: "net0: index=0,type=user,..." and, indented by " \ ", its
/// peer: the two ends of one link. The guest has no part in their names.
std::vector<std::vector<std::string>> links(std::string_view text) {
  std::vector<std::vector<std::string>> links;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool peer = line.starts_with(' ');
    while (line.starts_with(' ') || line.starts_with('\\')) line.remove_prefix(1);
    const auto colon = line.find(": index=");
    if (colon == std::string_view::npos || colon == 0) continue;
    if (!peer || links.empty()) links.emplace_back();
    links.back().emplace_back(line.substr(0, colon));
  }
  return links;
}

}  // namespace

Outcome<std::string> Response::apply(Action action, const Policy& policy, Time now) {
  switch (action) {
    case Action::log:
      return std::string("written down");
    case Action::freeze:
      return freeze();
    case Action::isolate:
      return isolate();
    case Action::snapshot:
      return snapshot(now);
    case Action::throttle:
      if ((applied_ & kFrozen) != 0) return std::string("frozen already: no CPU at all");
      if ((applied_ & kThrottled) != 0) return std::string("throttled already");
      percent_ = policy.throttle_percent;
      applied_ |= kThrottled;
      runs_ = true;
      turn_ = now;
      return fmt::format("throttled: it runs {} % of the time", percent_);
    case Action::stop:
      TRY(qmp_->execute("quit"));
      applied_ |= kStopped;
      return std::string("stopped: its QEMU was told to end");
  }
  return std::unexpected(Problem(Errc::invalid, "no such action"));
}

Outcome<std::string> Response::freeze() {
  // Told again even if it was told before: somebody may have resumed the guest meanwhile.
  TRY(qmp_->execute("stop"));
  if ((applied_ & kFrozen) != 0) return std::string("frozen, as it was told before");
  applied_ = (applied_ | kFrozen) & ~kThrottled;
  return std::string("frozen: no CPU runs, its memory stays as it is");
}

Outcome<std::string> Response::isolate() {
  // Told again even if it was told before, as freezing is. A link is down if one of its ends is.
  std::vector<std::string> down, up;
  std::string refused;
  for (const auto& ends : links(TRY(qmp_->human("info network")))) {
    bool cut = false;
    for (const auto& name : ends) {
      const auto arguments =
          Json{{"name", name}, {"up", false}}.dump(-1, ' ', true, Json::error_handler_t::replace);
      if (const auto done = qmp_->execute("set_link", arguments); !done) {
        refused = done.error().message;
        continue;
      }
      cut = true;
      down.push_back(name);
    }
    if (!cut) up.insert(up.end(), ends.begin(), ends.end());
  }
  if (!up.empty())
    return std::unexpected(Problem(
        Errc::io, down.empty() ? fmt::format("no link could be taken down: {}", refused)
                               : fmt::format("the links of {} are down, but not those of {}: {}",
                                             fmt::join(down, ", "), fmt::join(up, ", "), refused)));
  applied_ |= kIsolated;
  return down.empty() ? std::string("isolated: it has no network card")
                      : fmt::format("isolated: the links of {} are down", fmt::join(down, ", "));
}

/// Whoever provokes a snapshot (the guest, or an FVM that fell) must not take the room from the
/// evidence of all.
Outcome<void> Response::room_for_snapshot() {
  const auto answer = qmp_->execute("query-memory-size-summary");
  const auto memory = answer ? Json::parse(*answer, nullptr, false) : Json();
  std::uint64_t needed = 0;
  for (const auto* part : {"base-memory", "plugged-memory"}) {
    if (!memory.is_object()) continue;
    const auto found = memory.find(part);
    if (found != memory.end() && found->is_number_unsigned()) needed += found->get<std::uint64_t>();
  }
  const FileDescriptor folder(::open(snapshots_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct statvfs room{};
  if (!folder || ::fstatvfs(folder.get(), &room) != 0) return {};
  const auto free = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
  const auto left =
      std::min(static_cast<std::uint64_t>(room.f_blocks) / 10 * room.f_frsize, kMostLeft);
  if (free > left && free - left > needed) return {};
  return std::unexpected(
      Problem(Errc::too_large,
              fmt::format("no room: its memory has {} MiB, and of the {} MiB that are free "
                          "{} are left to evidence",
                          needed >> 20, free >> 20, left >> 20)));
}

Outcome<std::string> Response::snapshot(Time now) {
  if ((applied_ & kSnapshotting) != 0)
    return fmt::format("a snapshot into {} is being written already", snapshot_);
  if (snapshot_at_ != Time() && now - snapshot_at_ < kBetweenSnapshots)
    return std::unexpected(Problem(
        Errc::timeout,
        fmt::format("{} was written less than a minute ago: one a minute is enough", snapshot_)));
  auto name = fmt::format("{}.elf", evidence::words(evidence::now({})));
  ::mkdir(snapshots_.c_str(), 0700);
  TRY(room_for_snapshot());
  const auto path = snapshots_ + "/" + name;
  const FileDescriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file)
    return std::unexpected(
        Problem(Errc::io, fmt::format("{} cannot be made: {}", path, std::strerror(errno))));
  TRY(qmp_->execute_with_file("getfd", R"({"fdname":"vitrine-snapshot"})", file.get()));
  TRY(qmp_->execute("dump-guest-memory",
                    R"({"paging":false,"protocol":"fd:vitrine-snapshot","detach":true})"));
  applied_ |= kSnapshotting;
  snapshot_at_ = now;
  snapshot_ = std::move(name);
  return fmt::format("its memory is being written into snapshots/{}", snapshot_);
}

Outcome<void> Response::take_up(std::uint32_t applied, const Policy& policy, Time now) {
  if (applied == 0) return {};
  const auto state = status();
  if (!state && state.error().code != Errc::invalid) return std::unexpected(state.error());
  const bool runs = state && *state == "running";
  applied_ |= applied & kIsolated;
  if ((applied & kFrozen) != 0 && !runs) {
    applied_ |= kFrozen;
  } else if ((applied & kThrottled) != 0) {
    applied_ |= kThrottled;
    percent_ = policy.throttle_percent;
    runs_ = runs;
    turn_ = now;
  }
  return {};
}

void Response::end_throttling() {
  leave();
  applied_ &= ~kThrottled;
}

void Response::leave() {
  if ((applied_ & kThrottled) != 0 && !runs_) runs_ = qmp_->execute("cont").has_value();
}

std::optional<Response::Ended> Response::tick(Time now) {
  if ((applied_ & kThrottled) != 0 && now >= turn_) {
    runs_ = !runs_;
    const auto part = kThrottlePeriod * static_cast<int>(runs_ ? percent_ : 100 - percent_) / 100;
    turn_ = now + part;
    const auto done = qmp_->execute(runs_ ? "cont" : "stop");
    if (!done && done.error().code == Errc::invalid) {
      runs_ = !runs_;  // refused for the moment: the next turn tries again
    } else if (!done) {
      applied_ &= ~kThrottled;
      return Ended{Action::throttle, fmt::format("throttling ended: {}", done.error().message)};
    }
  }
  if ((applied_ & kSnapshotting) != 0 && now >= ask_) {
    ask_ = now + kAskAgain;
    const auto answer = qmp_->execute("query-dump");
    const auto status =
        answer ? text_of(Json::parse(*answer, nullptr, false), "status") : std::string("lost");
    if (status == "active") return std::nullopt;
    applied_ &= ~kSnapshotting;
    if (status == "completed")
      return Ended{Action::snapshot, fmt::format("snapshot snapshots/{} is complete", snapshot_)};
    return Ended{Action::snapshot,
                 fmt::format("snapshot snapshots/{} failed ({}): is its file system full?",
                             snapshot_, status)};
  }
  return std::nullopt;
}

std::optional<Response::Time> Response::next() const {
  if ((applied_ & kThrottled) != 0) return turn_;
  if ((applied_ & kSnapshotting) != 0) return ask_;
  return std::nullopt;
}

Outcome<std::string> Response::status() {
  const auto answer = TRY(qmp_->execute("query-status"));
  return text_of(Json::parse(answer, nullptr, false), "status");
}

}  // namespace vitrine::fvm
