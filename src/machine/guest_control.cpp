#include "machine/guest_control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/address.h"
#include "machine/network_cards.h"
#include "machine/screen.h"

namespace vitrine {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr auto kPeriod = 100ms;

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

bool write_file(const std::string& path, const std::string& text) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

Outcome<FileDescriptor> create(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return std::unexpected(Problem(Errc::io, fmt::format("cannot write {}", path)));
  return file;
}

}  // namespace

GuestControl::~GuestControl() { end_throttle(); }

Outcome<std::string> GuestControl::pause() {
  const auto qmp = TRY(monitor_.talk());
  TRY(qmp->execute("stop"));
  return "paused the machine";
}

Outcome<std::string> GuestControl::resume() {
  const auto qmp = TRY(monitor_.talk());
  TRY(qmp->execute("cont"));
  return "let the machine run";
}

Outcome<std::string> GuestControl::links(bool up) {
  auto qmp = TRY(monitor_.talk());
  const auto cards = parse_network_cards(TRY(qmp->human("info network")));
  if (cards.empty())
    return std::unexpected(Problem(Errc::unsupported, "the machine has no network card"));
  std::string names;
  for (const auto& card : cards) {
    TRY(qmp->execute("set_link",
                     fmt::format(R"({{"name":{},"up":{}}})", json_quoted(card.name), up)));
    names += fmt::format("{}{}", names.empty() ? "" : ", ", card.name);
  }
  return fmt::format("took the link of {} {}", names, up ? "up" : "down");
}

/// @returns false  the group is not QEMU's alone, or not ours to write
Outcome<bool> GuestControl::throttle_by_group(unsigned percent) {
  if (group_file_.empty()) {
    const auto text = file_text(fmt::format("/proc/{}/cgroup", monitor_.process().pid));
    const auto at = text.find("0::/");
    if (at == std::string::npos) return false;
    const auto group = text.substr(at + 3, text.find('\n', at) - at - 3);
    if (group == "/") return false;
    const auto folder = "/sys/fs/cgroup" + group;
    if (file_text(folder + "/cgroup.procs") != fmt::format("{}\n", monitor_.process().pid))
      return false;
    group_before_ = file_text(folder + "/cpu.max");
    if (group_before_.empty()) return false;
    // Promised before it is done: who is killed leaves no limit behind.
    guardian_ = TRY(Guardian::start(monitor_));
    Undo undo;
    undo.files.push_back({folder + "/cpu.max", group_before_});
    promise_ = TRY(guardian_->promise(undo));
    group_file_ = folder + "/cpu.max";
  }
  const bool done = write_file(
      group_file_, fmt::format("{} 100000", percent * 1000 * monitor_.process().options.vcpus));
  if (!done) end_throttle();
  return done;
}

void GuestControl::end_throttle() {
  if (!group_file_.empty() && write_file(group_file_, group_before_)) guardian_->kept(promise_);
  group_file_.clear();
  throttling_ = false;
  if (throttle_.joinable()) throttle_.join();
  guardian_.reset();
}

Outcome<std::string> GuestControl::throttle(unsigned percent) {
  if (percent >= 100) {
    end_throttle();
    return "throttled the machine no more";
  }
  if (percent == 0)
    return std::unexpected(
        Problem(Errc::invalid, "a machine throttled to nothing is paused", "write Pause()"));
  if (TRY(throttle_by_group(percent)))
    return fmt::format("throttled the machine to {} % by its cgroup's cpu.max", percent);
  percent_ = percent;
  if (!throttling_) {
    guardian_ = TRY(Guardian::start(monitor_));
    Undo undo;
    undo.commands.push_back({"cont", {}});
    promise_ = TRY(guardian_->promise(undo));
    throttling_ = true;
    throttle_ = std::thread([this] {
      while (throttling_) {
        const auto runs = kPeriod * percent_.load() / 100;
        // Whoever else paused it keeps it paused: only what we stopped is let go.
        bool stopped = false;
        if (auto qmp = monitor_.talk()) {
          const auto status = (*qmp)->execute("query-status");
          stopped = status && status->find("\"running\":true") != std::string::npos &&
                    (*qmp)->execute("stop");
        }
        std::this_thread::sleep_for(kPeriod - runs);
        if (stopped) {
          if (auto qmp = monitor_.talk()) (void)(*qmp)->execute("cont");
        }
        std::this_thread::sleep_for(runs);
      }
      guardian_->kept(promise_);
    });
  }
  return fmt::format("throttled the machine to {} %, by stopping and letting go ten times a second",
                     percent);
}

Outcome<std::string> GuestControl::snapshot(const std::string& path) {
  const auto file = TRY(create(path));
  const auto name = OwnerMark::self().prefix() + "dump";
  {
    auto qmp = TRY(monitor_.talk());
    TRY(qmp->execute_with_file("getfd", fmt::format(R"({{"fdname":{}}})", json_quoted(name)),
                               file.get()));
    TRY(qmp->execute("dump-guest-memory",
                     fmt::format(R"({{"paging":false,"protocol":{},"detach":true}})",
                                 json_quoted("fd:" + name))));
  }
  while (true) {
    auto qmp = TRY(monitor_.talk());
    const auto answer = Json::parse(TRY(qmp->execute("query-dump")), nullptr, false);
    qmp.reset();
    const auto status =
        answer.is_object() && answer.contains("status") && answer["status"].is_string()
            ? answer["status"].get<std::string>()
            : "";
    if (status == "completed") break;
    if (status != "active") {
      // QEMU says that it failed, not why.
      struct statvfs disk{};
      const bool full = ::fstatvfs(file.get(), &disk) == 0 && disk.f_bavail == 0;
      return std::unexpected(Problem(
          Errc::io, fmt::format("QEMU did not write all of {}{}: what is there is not whole", path,
                                full ? ", the disk is full" : "")));
    }
    std::this_thread::sleep_for(20ms);
  }
  return fmt::format(
      "saved the machine's memory to {} ({:.0f} MiB); it stood meanwhile", path,
      static_cast<double>(::lseek(file.get(), 0, SEEK_END)) / static_cast<double>(kMiB));
}

Outcome<std::string> GuestControl::screenshot(const std::string& path) {
  auto qmp = TRY(monitor_.talk());
  const auto picture =
      TRY(take_picture(*qmp, path.ends_with(".png") ? PictureFormat::png : PictureFormat::ppm));
  const auto file = TRY(create(path));
  if (::write(file.get(), picture.data(), picture.size()) != static_cast<ssize_t>(picture.size())) {
    return std::unexpected(Problem(Errc::io, fmt::format("cannot write {}", path)));
  }
  return fmt::format("saved a picture of the screen to {}", path);
}

}  // namespace vitrine
