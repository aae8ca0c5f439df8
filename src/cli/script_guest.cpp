#include "cli/script_guest.h"

#include <fmt/format.h>

#include "cli/escape.h"
#include "linux/boot_stage.h"
#include "linux/find_kernel.h"
#include "vmipl/render.h"

namespace vitrine::cli {
namespace {

using namespace std::chrono_literals;
constexpr auto kLookEvery = 500ms;  // whether the guest runs that kernel still
constexpr auto kTryEvery = 200ms;
/// So long a kernel that is up may refuse (it may be ending again) before that is the script's end.
constexpr auto kPatience = 10s;

}  // namespace

vmipl::CheckOptions check_options(const Arguments& words, const vmipl::Ports& ports) {
  vmipl::CheckOptions options{.ports = ports,
                              .judge_permissions = true,
                              .allow_writes = words.has("--allow-writes"),
                              .allow_control = words.has("--allow-control"),
                              .build = true};
  if (const auto allowed = words.options.find("--allow"); allowed != words.options.end())
    options.allow = allowed->second;
  return options;
}

ScriptGuest::ScriptGuest(Context& context, Session& session, const Arguments& words,
                         const probe::SourceSettings& settings, probe::MachineActions::Teller tell)
    : context_(context),
      session_(session),
      words_(words),
      settings_(settings),
      tell_(std::move(tell)),
      made_(make({})) {}

std::unique_ptr<ScriptGuest::Made> ScriptGuest::make(EventSources kept) {
  const auto& kernel = *session_.guest().kernel();
  auto made = std::make_unique<Made>();
  made->ports = std::make_unique<probe::KernelPorts>(kernel);
  made->sources = event_sources(context_, session_, words_, settings_, std::move(kept));
  made->actions = std::make_unique<probe::MachineActions>(
      session_.machine(), kernel,
      probe::MachineActions::Permissions{.writes = words_.has("--allow-writes"),
                                         .control = words_.has("--allow-control")},
      tell_);
  return made;
}

std::shared_ptr<vmipl::Program> ScriptGuest::build(const vmipl::Source& source,
                                                   vmipl::Diagnostics& diagnostics) const {
  auto checked = vmipl::check(source, check_options(words_, made_->ports->ports()), diagnostics);
  if (diagnostics.errors() != 0 || !checked.program) return nullptr;
  return std::make_shared<vmipl::Program>(std::move(*checked.program));
}

probe::HostGuest ScriptGuest::host_guest() const {
  return probe::host_guest(session_.machine(), *session_.guest().kernel());
}

Outcome<bool> ScriptGuest::keep_up(probe::RunSession& running, const vmipl::Source& source) {
  if (running.kernel_gone()) {
    TRY(follow(running, source));
    return false;
  }
  const auto now = Clock::now();
  if (now - looked_ < kLookEvery) return false;
  looked_ = now;
  if (!running.between_blocks([&] { return session_.other_kernel(); })) return true;
  running.kernel_ends("the guest runs another kernel than before: it was started anew");
  return false;
}

Outcome<void> ScriptGuest::follow(probe::RunSession& running, const vmipl::Source& source) {
  TRY(running.leave_kernel());
  made_->sources.leave_kernel();
  if (Clock::now() < next_try_) return {};
  next_try_ = Clock::now() + kTryEvery;
  const auto& machine = session_.machine();
  if (!machine.alive())
    return std::unexpected(
        Problem(Errc::vanished, fmt::format("{} ended while it was started anew", machine.name()),
                "what was printed may be torn"));
  // Not to look for a kernel in all of RAM while the firmware runs.
  if (const auto cpus = machine.registers();
      cpus && linux::text_hints(machine.memory(), *cpus).empty())
    return {};
  auto entered = enter(running, source);
  if (entered) {
    up_since_.reset();
    return {};
  }
  if (!up_since_) up_since_ = Clock::now();
  if (Clock::now() - *up_since_ < kPatience) return {};
  return entered;
}

Outcome<void> ScriptGuest::enter(probe::RunSession& running, const vmipl::Source& source) {
  auto next = context_.world.attach(session_.machine(), !words_.has("--no-cache"));
  // Nothing is guessed of a kernel that is not up yet; neither does the wait for it end.
  if (!next || !(*next)->health().ok() || (*next)->kernel() == nullptr ||
      !linux::is_up(*(*next)->kernel())) {
    up_since_.reset();
    return {};
  }
  auto before = session_.use(std::move(*next));
  auto made_before = std::move(made_);
  made_ = make(std::move(made_before->sources));
  const auto back = [&](Problem why) -> Outcome<void> {
    made_before->sources = std::move(made_->sources);
    made_before->sources.leave_kernel();
    made_ = std::move(made_before);
    (void)session_.use(std::move(before));
    return std::unexpected(std::move(why));
  };
  vmipl::Diagnostics diagnostics;
  auto program = build(source, diagnostics);
  if (!program) {
    vmipl::RenderOptions plain;
    return back({Errc::unsupported, "the kernel that came after cannot run the script",
                 vmipl::render_text(source, diagnostics, plain)});
  }
  if (auto entered = running.enter_kernel(host_guest(), sources(), &actions(), std::move(program));
      !entered)
    return back(std::move(entered.error()));
  return {};
}

}  // namespace vitrine::cli
