#include "probe/agent/instrumentation.h"

#include <algorithm>
#include <map>

namespace vitrine::probe {
namespace {

constexpr std::size_t kFrames = 16384;  // a power of two

/// What one instruction can write of a range: a string of any length, of which a part will do.
std::size_t kept_bytes(std::uint64_t widest) {
  constexpr std::uint64_t kMost = 64 * 1024, kEdges = 128;
  return static_cast<std::size_t>(std::min(widest, kMost) + kEdges);
}

bool is_kernel(std::uint64_t address) { return static_cast<std::int64_t>(address) < 0; }
constexpr std::uint64_t kInPage = 4095;

/// Vectors with which the CPU pushes an error code. Source: Intel SDM vol. 3A, "Error Code".
bool has_error_code(std::uint64_t vector) {
  switch (vector) {
    case 8:
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
    case 17:
    case 21:
    case 29:
    case 30:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool Instrumentation::counts_only(const Trigger& trigger) const {
  const auto& probe = *trigger.probe;
  // What a user allows is counted by calls; by time, these count for nothing.
  const auto limit = program_.plan().rate_limit;
  if (probe.held || (limit != Throttle::kNever && limit != Throttle::kByTime)) return false;
  switch (probe.event) {
    case AgentEvent::execute:
    case AgentEvent::process_exec:
    case AgentEvent::vector:
      return true;
    case AgentEvent::syscall:
    case AgentEvent::syscall_return:
      return probe.native == kAllCalls && probe.compat == kAllCalls;
    case AgentEvent::function_return:
      return frames_.empty();
    default:
      return false;
  }
}

Instrumentation::Instrumentation(RunningProgram& program, const PluginApi& api)
    : program_(program), api_(api), translating_(api) {
  for (const auto& probe : program.plan().probes) {
    switch (probe.event) {
      case AgentEvent::control_write:
      case AgentEvent::msr_write:
      case AgentEvent::idtr_write:
      case AgentEvent::gdtr_write:
      case AgentEvent::port_write:
        watches_system_ = true;
        system_probes_.push_back(&probe);
        break;
      case AgentEvent::port_read:
        watches_system_ = watches_ports_ = true;
        system_probes_.push_back(&probe);
        break;
      case AgentEvent::sample:
        samples_.push_back(&probe);
        break;
      case AgentEvent::resume:
        resumes_.push_back(&probe);
        break;
      default:
        break;
    }
  }
  std::size_t cpus = 0;
  while (program.vcpu(static_cast<unsigned>(cpus)) != nullptr) ++cpus;
  pending_.resize(cpus);
  last_.resize(cpus);
  stores_.resize(cpus);
  const auto& tables = program.plan().tables;
  for (std::size_t i = 0; i < cpus && i * 4 + 3 < tables.size(); ++i) {
    last_[i].idtr = tables[i * 4];
    last_[i].gdtr = tables[i * 4 + 2];
  }
  place();
}

void Instrumentation::aim() {
  forget_hooks();
  addresses_.clear();
  in_programs_.clear();
  hooks_.clear();
  accesses_.clear();
  watched_ = {};
  place();
}

void Instrumentation::place() {
  std::map<std::uint64_t, std::vector<Trigger>> by_address;
  for (const auto& probe : program_.plan().probes) {
    for (const auto& site : probe.sites) {
      by_address[site.address].push_back(
          {&probe, site.detail, static_cast<SiteRole>(site.role), std::nullopt});
      if (probe.event == AgentEvent::function_return && site.role != 0) frames_.resize(kFrames);
    }
    if (!probe.ranges.empty()) watch(probe);
  }
  access_is_kernel_ = !accesses_.empty() &&
                      std::all_of(accesses_.begin(), accesses_.end(),
                                  [](const Access& access) { return is_kernel(access.start); });
  access_is_user_ = !accesses_.empty() &&
                    std::none_of(accesses_.begin(), accesses_.end(), [](const Access& access) {
                      return is_kernel(access.start) || is_kernel(access.start + access.size - 1);
                    });
  std::uint64_t widest = 0;
  for (const auto& access : accesses_) widest = std::max(widest, access.size);
  if (wants_old_) before_ = std::make_unique<ValuesBefore>(stores_.size(), kept_bytes(widest));
  place_hooks(std::move(by_address));
}

void Instrumentation::place_hooks(std::map<std::uint64_t, std::vector<Trigger>> by_address) {
  // Samples alone do not make QEMU's translations cost.
  std::vector<std::uint64_t> ends;
  if (!by_address.empty() || watches_system_ || !accesses_.empty())
    ends = program_.plan().kernel.ends;
  for (const auto address : ends) by_address[address];
  hooks_.reserve(by_address.size());
  for (auto& [address, triggers] : by_address) {
    addresses_.push_back(address);
    std::stable_sort(triggers.begin(), triggers.end(), [](const Trigger& a, const Trigger& b) {
      return a.probe->probe < b.probe->probe;
    });
    Hook hook{this, address, {}, false, false, false};
    hook.ends = hook.calls = std::ranges::find(ends, address) != ends.end();
    for (auto& trigger : triggers) {
      if (is_kernel(address) && counts_only(trigger)) {
        if (const auto map = counted_map(program_.program(), trigger.probe->probe))
          trigger.counter = program_.counters().counter(*map, api_);
      }
      hook.calls = hook.calls || !trigger.counter;
      hook.writes = hook.writes || trigger.probe->held;
    }
    hook.triggers = std::move(triggers);
    hooks_.push_back(std::move(hook));
    if (!is_kernel(address)) in_programs_.emplace(address & kInPage, &hooks_.back());
  }
}

// ---- at translation

void Instrumentation::translate(PluginBlock* block) noexcept {
  const auto count = api_.block_size(block);
  if (count == 0 || program_.over()) return;
  if (!addresses_.empty()) {
    if (is_kernel(api_.block_address(block)))
      translate_kernel(block, count);
    else if (!in_programs_.empty())
      translate_program(block, count);
  }
  if (watches_system_) {
    for (std::size_t i = 0; i < count; ++i) translate_system(block, i);
  }
  if (!accesses_.empty() && reaches(block)) translate_accesses(block, count);
}

void Instrumentation::translate_kernel(PluginBlock* block, std::size_t count) noexcept {
  const auto first = api_.instruction_address(api_.block_instruction(block, 0));
  const auto last = api_.instruction_address(api_.block_instruction(block, count - 1));
  auto at = std::lower_bound(addresses_.begin(), addresses_.end(), first);
  for (std::size_t i = 0; i < count && at != addresses_.end() && *at <= last; ++i) {
    auto* instruction = api_.block_instruction(block, i);
    const auto address = api_.instruction_address(instruction);
    while (at != addresses_.end() && *at < address) ++at;
    if (at == addresses_.end() || *at != address) continue;
    auto& hook = hooks_[static_cast<std::size_t>(at - addresses_.begin())];
    for (const auto& trigger : hook.triggers) {
      if (trigger.counter) api_.inline_execute(instruction, InlineOp::add, *trigger.counter, 1);
    }
    if (hook.calls)
      api_.on_execute(instruction, on_execute,
                      hook.writes ? CallbackRegisters::write : CallbackRegisters::read, &hook);
  }
}

void Instrumentation::translate_program(PluginBlock* block, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    auto* instruction = api_.block_instruction(block, i);
    const auto address = api_.instruction_address(instruction);
    const auto [first, end] = in_programs_.equal_range(address & kInPage);
    if (first == end) continue;
    const auto start = api_.block_address(block);
    ProgramHook hook{this, start, address, {}};
    bool writes = false;
    for (auto at = first; at != end; ++at) {
      hook.hooks.push_back(at->second);
      writes = writes || at->second->writes;
    }
    const std::lock_guard lock(mutex_);
    auto& known = program_hooks_.try_emplace({start, address}, std::move(hook)).first->second;
    api_.on_execute(instruction, on_program,
                    writes ? CallbackRegisters::write : CallbackRegisters::read, &known);
  }
}

void Instrumentation::forget_hooks() noexcept {
  const std::lock_guard lock(mutex_);
  system_hooks_.clear();
  store_hooks_.clear();
  program_hooks_.clear();
}

void Instrumentation::begins(unsigned vcpu) {
  auto* cpu = program_.vcpu(vcpu);
  if (cpu == nullptr) return;
  cpu->registers.begin_anew();
  pending_[vcpu] = {};
  stores_[vcpu] = {};
  last_[vcpu] = {};
  if (before_) before_->drop(vcpu);
}

// ---- at execution

void Instrumentation::on_program(unsigned vcpu, void* data) {
  const auto& self = *static_cast<const ProgramHook*>(data);
  auto* cpu = self.owner->program_.vcpu(vcpu);
  if (cpu == nullptr) return;
  cpu->registers.settle();
  // The CPU tells where the block is now: elsewhere by whole pages, if at all.
  const auto moved = cpu->registers.get(Reg::rip).value_or(self.block) - self.block;
  const auto address = self.address + (moved & ~kInPage);
  for (const auto* hook : self.hooks) {
    if (hook->address == address) self.owner->reached(*cpu, *hook);
  }
}

void Instrumentation::on_execute(unsigned vcpu, void* data) {
  const auto& hook = *static_cast<const Hook*>(data);
  auto* cpu = hook.owner->program_.vcpu(vcpu);
  if (cpu == nullptr) return;
  cpu->registers.settle();
  hook.owner->reached(*cpu, hook);
}

void Instrumentation::reached(RunningProgram::Vcpu& cpu, const Hook& hook) noexcept {
  for (const auto& trigger : hook.triggers) {
    if (trigger.counter) continue;
    EventAt event;
    event.probe = trigger.probe;
    event.address = hook.address;
    event.detail = trigger.detail;
    if (describe(cpu, event, trigger.role)) program_.fire(cpu, event);
  }
  if (hook.ends) program_.kernel_ends("the kernel started another one (kexec)");
}

bool Instrumentation::returns(RunningProgram::Vcpu& cpu, const EventAt& event,
                              SiteRole role) noexcept {
  if (frames_.empty()) return role == SiteRole::exit;
  const auto function = event.detail;
  const auto stack = cpu.registers.get(Reg::rsp).value_or(0);
  const auto slot = (stack >> 3) * 0x9e3779b97f4a7c15ULL >> 50;
  const std::lock_guard lock(mutex_);
  // A few neighbours; if all are taken the oldest thing there is given up.
  Frame* room = &frames_[slot & (kFrames - 1)];
  Frame* found = nullptr;
  for (std::size_t i = 0; i < 8; ++i) {
    auto& frame = frames_[(slot + i) & (kFrames - 1)];
    if (frame.stack == stack && frame.function == function && frame.probe == event.probe)
      found = &frame;
    if (frame.stack == 0) room = &frame;
  }
  if (role == SiteRole::entry) {
    *(found != nullptr ? found : room) = {stack, function, event.probe};
    return false;
  }
  if (found != nullptr) *found = {};
  return role == SiteRole::exit || found != nullptr;
}

bool Instrumentation::describe(RunningProgram::Vcpu& cpu, EventAt& event, SiteRole role) noexcept {
  auto& registers = cpu.registers;
  const auto word = [&](Reg reg) { return registers.get(reg).value_or(0); };
  switch (event.probe->event) {
    case AgentEvent::execute:
      event.fields[0] = event.address;
      return true;
    case AgentEvent::function_return:
      if (!returns(cpu, event, role)) return false;
      event.fields[0] = event.detail;
      event.result = static_cast<std::int64_t>(word(Reg::rax));
      return true;
    case AgentEvent::syscall:
      event.compat = static_cast<SyscallEntry>(event.detail) != SyscallEntry::native;
      event.call = static_cast<std::int32_t>(word(Reg::rax));
      return true;
    case AgentEvent::syscall_return: {
      auto& environment = cpu.environment;
      environment.begin(event);
      auto& memory = environment.memory();
      event.regs = registers.general(event.detail & ReturnSite::reg);
      event.compat = (event.detail & ReturnSite::compat) != 0;
      if ((event.detail & ReturnSite::by_status) != 0 && !event.probe->offsets.empty()) {
        const auto status =
            memory.load<std::uint32_t>(environment.current_task() + event.probe->offsets[0]);
        event.compat =
            status && (*status & 2) != 0;  // TS_COMPAT, arch/x86/include/asm/thread_info.h
      }
      const auto call = memory.load<std::int32_t>(event.regs + 120);  // orig_ax
      if (!call) return false;
      // sigreturn restores another moment's registers, and marks them so that nothing restarts.
      event.call = *call == -1 ? (event.compat ? 119 : 15) : *call;
      if ((event.detail & ReturnSite::in_rax) != 0)
        event.result = static_cast<std::int64_t>(word(Reg::rax));
      else if (const auto value = memory.load<std::int64_t>(event.regs + 80))
        event.result = *value;
      if (event.compat && event.result) event.result = static_cast<std::int32_t>(*event.result);
      return true;
    }
    case AgentEvent::process_start: {
      auto& environment = cpu.environment;
      environment.begin(event);
      event.task = word(Reg::rdi);
      const auto pid = environment.moments().pid(event.task);
      if (!pid || pid != environment.moments().tid(event.task)) return false;  // a thread
      if (const auto parent = environment.moments().pid(environment.current_task()))
        event.fields[0] = static_cast<std::uint64_t>(static_cast<std::int64_t>(*parent));
      return true;
    }
    case AgentEvent::process_exec:
      return true;
    case AgentEvent::process_exit: {
      if ((word(Reg::rsi) & 0xff) == 0) return false;  // not the process's last thread
      event.task = word(Reg::rdi);
      const auto& at = event.probe->offsets;
      if (at.size() < kExitOffsets) return true;
      cpu.environment.begin(event);
      auto& memory = cpu.environment.memory();
      auto code = memory.load<std::uint32_t>(event.task + at[kTaskExitCode]);
      if (const auto signal = memory.load<std::uint64_t>(event.task + at[kTaskSignal])) {
        const auto flags = memory.load<std::uint32_t>(*signal + at[kSignalFlags]);
        if (flags && (*flags & 4) != 0)
          code = memory.load<std::uint32_t>(*signal + at[kSignalGroupCode]);  // SIGNAL_GROUP_EXIT
      }
      if (code) event.fields[0] = *code;
      return true;
    }
    case AgentEvent::module_load:
    case AgentEvent::module_unload:
      return describe_module(cpu, event, role);
    case AgentEvent::vector: {
      event.fields[0] = event.detail;
      if (has_error_code(event.detail)) {
        cpu.environment.begin(event);
        if (const auto code = cpu.environment.memory().load<std::uint64_t>(word(Reg::rsp)))
          event.fields[1] = *code & 0xffffffff;
      }
      return true;
    }
    case AgentEvent::module_watch:
      return true;
    default:
      return false;
  }
}

bool Instrumentation::describe_module(RunningProgram::Vcpu& cpu, EventAt& event,
                                      SiteRole role) noexcept {
  auto& environment = cpu.environment;
  environment.begin(event);
  const auto task = environment.current_task();
  const bool entry = role == SiteRole::entry;
  {
    // Loading is two sites: where it begins, with the module, and where it ends, with the result.
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(
        loading_.begin(), loading_.end(),
        [&](const ModuleBeingLoaded& one) { return one.task == task && one.probe == event.probe; });
    if (event.probe->event == AgentEvent::module_load) {
      if (entry) {
        const auto module = cpu.registers.get(Reg::rdi).value_or(0);
        if (known != loading_.end())
          known->module = module;
        else if (loading_.size() < 1024)
          loading_.push_back({event.probe, task, module});
        return false;
      }
      if (known == loading_.end()) return false;
      event.module = known->module;
      if (static_cast<std::int32_t>(cpu.registers.get(Reg::rax).value_or(1)) != 0) return false;
      // A return by way of a thunk passes two of its exits: the first tells.
      loading_.erase(known);
    } else {
      event.module = cpu.registers.get(Reg::rdi).value_or(0);
    }
  }
  const auto& at = event.probe->offsets;
  if (at.size() < kModuleOffsets) return true;
  auto& memory = environment.memory();
  event.fields[1] = memory.load<std::uint64_t>(event.module + at[kModuleBase]);
  if (const auto size = memory.load<std::uint32_t>(event.module + at[kModuleSize]))
    event.fields[2] = *size;
  return true;
}

}  // namespace vitrine::probe
