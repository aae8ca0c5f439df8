#include "cli/event_sources.h"

#include <fmt/core.h>

#include "cli/quantities.h"
#include "linux/kernel.h"
#include "machine/qemu_process.h"
#include "probe/agent/agent_link.h"
#include "probe/agent/plugin_support.h"
#include "probe/gdb/gdb_source.h"
#include "probe/polling/polling_source.h"
#include "probe/profile/sample_source.h"
#include "probe/streams/stream_source.h"
#include "vmipl/catalogue.h"

namespace vitrine::cli {
namespace {

/// Stands where the agent would: says what events would take.
class NoAgent final : public probe::EventSource {
 public:
  NoAgent(std::string why, std::string remedy) : why_(std::move(why)), remedy_(std::move(remedy)) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "agent"; }
  [[nodiscard]] std::vector<probe::Offer> offers(const vmipl::Program& program) const override {
    std::vector<probe::Offer> out;
    for (const auto& probe : program.probes) {
      const bool event = (vmipl::probes()[probe.probe].needs & vmipl::Needs::events) != 0;
      out.push_back(event ? probe::Offer::refuse(why_, remedy_) : probe::Offer::refuse({}));
    }
    return out;
  }
  Outcome<void> start(probe::Assignment, probe::EventSink&) override { return {}; }
  Outcome<void> replace(probe::Assignment) override { return {}; }
  void stop() noexcept override {}
  [[nodiscard]] probe::Losses losses() const override { return {}; }

 private:
  std::string why_, remedy_;
};

}  // namespace

std::vector<probe::EventSource*> EventSources::ladder() const {
  std::vector<probe::EventSource*> out;
  for (const auto& source : all) out.push_back(source.get());
  return out;
}

void EventSources::leave_kernel() {
  agent = nullptr;
  std::erase_if(all, [](const auto& source) { return !source->outlives_kernel(); });
}

std::vector<Option> source_options() {
  return {
      {"--poll", "", "rather compare looks than stop the machine at events"},
      {"--poll-period", "TIME", "a look each TIME, 1ms to 1h; else as the script says, or 100ms"},
      {"--rate-limit", "N", "thin a probe that fires more often than N times a second; 0: never"}};
}

Outcome<probe::SourceSettings> source_settings(const Arguments& words) {
  probe::SourceSettings settings;
  if (const auto text = words.value("--poll-period")) {
    settings.poll_period = TRY(parse_duration("--poll-period", *text));
    if (*settings.poll_period < std::chrono::milliseconds(1) ||
        *settings.poll_period > std::chrono::hours(1))
      return std::unexpected(Problem(Errc::invalid, "--poll-period is 1ms to 1h"));
  }
  if (const auto text = words.value("--rate-limit"))
    settings.rate_limit = TRY(parse_number("--rate-limit", *text, 1'000'000'000));
  return settings;
}

EventSources event_sources(Context& context, const Session& session, const Arguments& words,
                           const probe::SourceSettings& settings, EventSources kept) {
  EventSources sources;
  kept.leave_kernel();
  const auto* kernel = session.guest().kernel();
  if (!session.machine().live() || kernel == nullptr) return sources;
  std::string why = "this machine runs without the agent";
  std::string remedy = "start the machine with the agent: vitrine qemu-args says how";
  const auto process =
      find_qemu(words.machine ? *words.machine : std::string(session.machine().name()));
  if (process) {
    if (auto agent = probe::AgentSource::open(*process, *kernel, {.settings = settings})) {
      sources.agent = agent->get();
      sources.all.push_back(std::move(*agent));
    } else if (const auto lacks =
                   probe::cannot_load_agent(fmt::format("/proc/{}/exe", process->pid))) {
      why += fmt::format(", and its QEMU can load none: {}", *lacks);
      remedy =
          "start the machine by QEMU 9.1 or newer, built with plugins, and with the agent: "
          "vitrine qemu-args says how";
    } else if (agent.error().code != Errc::not_found || probe::find_agent_socket(process->pid)) {
      why = fmt::format("the agent cannot be had: {}", agent.error().message);
      context.console.remark(
          "! " + escape(why, context.console.charset) +
          "; events come by the gdbstub, which stops the machine at each, or by polling, or not at "
          "all");
    }
  }
  if (sources.agent == nullptr)
    sources.all.push_back(std::make_unique<NoAgent>(std::move(why), std::move(remedy)));
  if (kept.all.empty()) kept.all.push_back(probe::stream_source(session.machine()));
  for (auto& source : kept.all) sources.all.push_back(std::move(source));
  probe::PollingOptions polling;
  if (!words.has("--no-cache")) polling.attach.cache_directory = linux::default_cache_directory();
  probe::GdbOptions gdb;
  gdb.attach = polling.attach;
  gdb.settings = polling.settings = settings;
  sources.all.push_back(probe::sample_source(session.machine(), polling.attach));
  sources.all.push_back(probe::gdb_source(session.machine(), gdb));
  sources.all.push_back(probe::polling_source(session.machine(), polling));
  return sources;
}

}  // namespace vitrine::cli
