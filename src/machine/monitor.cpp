#include "machine/monitor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <thread>

#include "machine/own_monitor.h"
#include "machine/process_start.h"

namespace vitrine {
namespace {

template <class T>
bool take_number(std::string_view& text, T& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.starts_with('-')) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

OwnerMark OwnerMark::self() { return {::getpid(), start_time_of(::getpid())}; }

std::string OwnerMark::prefix() const { return fmt::format("vitrine-{}-{}-", pid, start_time); }

std::optional<OwnerMark::Named> OwnerMark::parse(std::string_view name) {
  constexpr std::string_view kFirst = "vitrine-";
  if (!name.starts_with(kFirst)) return std::nullopt;
  name.remove_prefix(kFirst.size());
  Named named;
  if (!take_number(name, named.owner.pid) || !take_number(name, named.owner.start_time) ||
      named.owner.pid <= 0)
    return std::nullopt;
  named.what = name;
  return named;
}

bool OwnerMark::lives() const { return start_time != 0 && start_time_of(pid) == start_time; }

Outcome<std::unique_ptr<Qmp>> Monitor::talk(std::chrono::milliseconds patience) const {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (true) {
    Problem last(
        Errc::unsupported, fmt::format("{} has no QMP socket that can be used", process_.name()),
        process_.unreachable_monitors.empty() ? "start it with -qmp unix:PATH,server=on,wait=off"
                                              : process_.unreachable_monitors.front());
    bool busy = false;
    for (const auto& endpoint : process_.monitors) {
      auto qmp = connect_to(process_, endpoint);
      if (qmp) return qmp;
      busy |= qmp.error().code == Errc::timeout;
      last = std::move(qmp.error());
    }
    if (!still_runs(process_))
      return std::unexpected(Problem(Errc::vanished, fmt::format("{} is gone", process_.name())));
    if (!busy || std::chrono::steady_clock::now() >= until) return std::unexpected(std::move(last));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::string json_quoted(std::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace vitrine
