#include "probe/agent/running_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "probe/event_source.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

bool in_set(const CallSet& set, std::int64_t call) {
  // Numbers beyond the table are in the set only if all are.
  if (call < 0 || call >= static_cast<std::int64_t>(set.size() * 64)) return set == kAllCalls;
  return (set[static_cast<std::size_t>(call) / 64] >> (call % 64) & 1) != 0;
}

std::uint64_t nanoseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

RunningProgram::Vcpu::Vcpu(RunningProgram& program, const PluginApi& api, unsigned number)
    : index(number),
      registers(api, number),
      environment(*program.program_, program.plan_, program.layout_, *program.ram_, registers,
                  RingWriter(program.rings_, number), number),
      interpreter(*program.program_, *program.maps_),
      throttles(program.plan_.probes.size()) {
  const auto& probes = program.plan_.probes;
  if (std::any_of(probes.begin(), probes.end(), [](const AgentProbe& one) { return one.held; }))
    look = std::make_unique<BlockLook>(*program.program_, environment, *program.maps_);
}

RunningProgram::~RunningProgram() = default;

Outcome<std::unique_ptr<RunningProgram>> RunningProgram::create(AgentPlan plan,
                                                                const PluginApi& api,
                                                                unsigned vcpus, HeldHost& host) {
  std::unique_ptr<RunningProgram> made(new RunningProgram(std::move(plan), host, api));
  auto program = vmipl::load_program(made->plan_.program);
  if (!program)
    return std::unexpected(Problem(program.error().code,
                                   fmt::format("the program is none: {}", program.error().what)));
  made->program_ = std::make_unique<vmipl::Program>(std::move(*program));
  for (const auto& probe : made->plan_.probes) {
    const bool hosts = probe.event == AgentEvent::module_watch;
    if (hosts ? probe.probe != AgentProbe::kNone || !probe.held
              : probe.probe >= made->program_->probes.size())
      return std::unexpected(
          Problem(Errc::malformed, fmt::format("the program has no probe {}", probe.probe)));
  }
  const auto layout = load_moment_layout(made->plan_.moments);
  if (!layout)
    return std::unexpected(
        Problem(layout.error().code,
                fmt::format("the layout of the moment is none: {}", layout.error().what)));
  made->layout_ = *layout;
  std::size_t refused = 0;
  made->ram_ = std::make_unique<HostedRam>(made->plan_.ram, refused);
  if (refused != 0)
    return std::unexpected(Problem(
        Errc::malformed, fmt::format("{} ranges of RAM do not lie in this process", refused)));
  made->maps_ = TRY(LocalMaps::create(made->program_->maps));
  if (!made->plan_.maps.empty() && made->plan_.maps.size() != made->program_->maps.size())
    return std::unexpected(Problem(Errc::malformed, "what its maps held is not of this program"));
  for (unsigned i = 0; i < made->plan_.maps.size(); ++i)
    made->maps_->restore(i, made->plan_.maps[i]);
  made->plan_.maps.clear();
  made->counters_ = std::make_unique<Counters>(*made->maps_);
  made->thinned_told_ = std::vector<std::atomic<bool>>(made->plan_.probes.size());
  made->rings_ = TRY(RingMemory::create(vcpus, made->plan_.ring_bytes));
  for (unsigned i = 0; i < vcpus; ++i)
    made->vcpus_.push_back(std::make_unique<Vcpu>(*made, api, i));
  return made;
}

void RunningProgram::aim(std::vector<AgentAim> aims) {
  for (auto& aim : aims) {
    if (aim.index >= plan_.probes.size()) continue;
    plan_.probes[aim.index].sites = std::move(aim.sites);
    plan_.probes[aim.index].ranges = std::move(aim.ranges);
  }
}

AgentLosses RunningProgram::losses() const {
  AgentLosses sum;
  sum.fired = counters_->total();
  for (const auto& cpu : vcpus_) {
    sum.fired += cpu->fired.load(std::memory_order_relaxed);
    sum.firings += cpu->thinned.load(std::memory_order_relaxed);
    sum.late += cpu->late.load(std::memory_order_relaxed);
    sum.over_budget += cpu->over_budget.load(std::memory_order_relaxed);
  }
  return sum;
}

void RunningProgram::tell_thinned(std::size_t probe) noexcept {
  auto& told = thinned_told_[probe];
  if (told.load(std::memory_order_relaxed) || told.exchange(true)) return;
  const auto index = plan_.probes[probe].probe;
  const auto& written = program_->probes[index];
  const auto name = vmipl::probes()[written.probe].name;
  AgentNote note;
  note.kind = SourceNote::thinned;
  note.probe = index;
  note.text = plan_.rate_limit == Throttle::kByTime
                  ? fmt::format(
                        "line {}: {} takes more than half of a virtual CPU's time: what "
                        "comes beyond that, in each second, is not run",
                        written.line, name)
                  : fmt::format(
                        "line {}: {} fires more often than {} times a second: what comes "
                        "beyond that, in each second, is not run",
                        written.line, name, plan_.rate_limit);
  if (!host_.note(note)) told.store(false, std::memory_order_relaxed);
}

namespace {
void add(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}
}  // namespace

void RunningProgram::kernel_ends(std::string_view how) noexcept {
  if (over_.exchange(true)) return;
  AgentNote note;
  note.kind = SourceNote::guest_reset;
  note.text = fmt::format("{}: what the agent watched for in its kernel is gone", how);
  (void)host_.note(note);
}

void RunningProgram::fire(Vcpu& cpu, EventAt& event) noexcept {
  if (over()) return;
  const auto& probe = *event.probe;
  if (probe.probe == AgentProbe::kNone) return hold(cpu, event);
  if (event.call && !in_set(event.compat ? probe.compat : probe.native, *event.call)) return;
  add(cpu.fired);
  const auto limit = plan_.rate_limit;
  if (limit == Throttle::kNever) return run(cpu, event);
  const auto number = static_cast<std::size_t>(&probe - plan_.probes.data());
  auto& throttle = cpu.throttles[number];
  // The coarse clock is read without a system call, in a few nanoseconds.
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  if (!throttle.admit(limit, static_cast<std::uint64_t>(time.tv_sec))) {
    add(cpu.thinned);
    return tell_thinned(number);
  }
  if (limit != Throttle::kByTime || !throttle.measures()) return run(cpu, event);
  // The thread's own time, lest a busy host counts; but a held CPU loses what it waits.
  const auto clock = probe.held ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
  // To ask that clock takes longer than many a firing: what it takes is measured, too.
  const auto before = nanoseconds(clock), begin = nanoseconds(clock);
  run(cpu, event);
  const auto took = nanoseconds(clock) - begin, asking = begin - before;
  throttle.took(took > asking ? took - asking : 0);
}

void RunningProgram::run(Vcpu& cpu, EventAt& event) noexcept {
  const auto& probe = *event.probe;
  cpu.environment.begin(event);
  if (probe.held) {
    if (cpu.look->may_act(probe.probe)) hold(cpu, event);
    return;
  }
  const auto firing = cpu.interpreter.run(probe.probe, cpu.environment);
  if (firing.end == Firing::End::over_budget) add(cpu.over_budget);
}

// Both are QEMU's one way of writing for a debugger: the interface's own is a call of the other.
// It translates as the CPU does and throws away what was translated of the old bytes.
bool RunningProgram::write(const HeldWrite& what) noexcept {
  if (api_.write_memory != nullptr) {
    auto* bytes = api_.bytes_resize(api_.bytes_new(), static_cast<unsigned>(what.bytes.size()));
    std::memcpy(bytes->data, what.bytes.data(), what.bytes.size());
    const bool done = api_.write_memory(what.address, bytes);
    (void)api_.bytes_free(bytes, 1);
    return done;
  }
  if (api_.debug_memory == nullptr || api_.cpu == nullptr) return false;
  auto* cpu = api_.cpu(static_cast<int>(what.vcpu));
  auto bytes = what.bytes;
  return cpu != nullptr &&
         api_.debug_memory(cpu, what.address, bytes.data(), bytes.size(), true) == 0;
}

/// Of the host's own watch of modules: the stage, and where there is one the module's name.
void RunningProgram::tell_module(Vcpu& cpu, EventAt& event, Held& held) noexcept {
  held.fields.push_back(ValueView::of(event.detail));
  if (static_cast<ModuleStage>(event.detail) == ModuleStage::initialized ||
      event.probe->offsets.empty())
    return;
  cpu.environment.begin(event);
  std::array<char, 64> name{};  // MODULE_NAME_LEN is 56
  const auto at = held.registers.gpr[x86::kRdi] + event.probe->offsets[kModuleName];
  if (cpu.environment.memory().read(at, writable_bytes_of(name).first(56)))
    held.fields.push_back(ValueView::of(std::string_view(name.data())));
}

/// What a block may ask of the event.
void RunningProgram::tell_event(Vcpu& cpu, Held& held) noexcept {
  for (unsigned i = 0; i < kEventFields; ++i) {
    Value value;
    std::array<char, 64> text{};
    if (const auto number = cpu.environment.field(i))
      value = ValueView::of(*number);
    else if (const auto size = cpu.environment.field_text(i, text))
      value = ValueView::of(std::string_view(text.data(), *size));
    held.fields.push_back(std::move(value));
  }
  for (unsigned i = 0; i < 6; ++i) {
    const auto value = cpu.environment.argument(i);
    held.arguments.emplace_back(value ? ValueView::of(*value) : ValueView::missing());
  }
}

void RunningProgram::hold(Vcpu& cpu, EventAt& event) noexcept {
  if (!holding_.load(std::memory_order_relaxed)) return;
  Held held;
  held.vcpu = cpu.index;
  held.token = cpu.next_token++;
  held.generation = generation;
  held.probe = event.probe->probe;
  held.monotonic_ns = nanoseconds(CLOCK_MONOTONIC);
  held.registers = cpu.registers.all();
  if (event.address != 0) held.registers.rip = event.address;
  if (held.probe == AgentProbe::kNone)
    tell_module(cpu, event, held);
  else
    tell_event(cpu, held);
  if (event.result) held.result = ValueView::of(static_cast<std::uint64_t>(*event.result));
  held.task = event.task;
  held.syscall = event.call.value_or(-1);
  held.compat = event.compat;
  const auto release =
      host_.hold(held, plan_.held_limit_ms, [this](const HeldWrite& what) { return write(what); });
  if (!release) {
    add(cpu.late);
    return;
  }
  for (const auto& write : release->writes) {
    if (write.reg < static_cast<std::uint32_t>(Reg::rip))
      (void)cpu.registers.write(static_cast<Reg>(write.reg), write.value);
  }
}

}  // namespace vitrine::probe
