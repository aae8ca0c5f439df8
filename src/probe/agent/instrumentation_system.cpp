// Instructions that change or tell the machine's state: control and model-specific registers,
// descriptor tables, ports. Found as code is translated.
#include <algorithm>

#include "base/bytes.h"
#include "probe/agent/instrumentation.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMaxInstruction = 15;

// MSRs that QEMU tells as registers. Source: Intel SDM vol. 4.
constexpr std::uint32_t kEfer = 0xc0000080, kFsBase = 0xc0000100, kGsBase = 0xc0000101,
                        kKernelGsBase = 0xc0000102;

}  // namespace

x86::SystemInstruction Instrumentation::decode(PluginInstruction* instruction,
                                               std::uint8_t& size) const noexcept {
  std::array<std::byte, kMaxInstruction> bytes{};
  size = static_cast<std::uint8_t>(
      std::min(api_.instruction_bytes(instruction, bytes.data(), bytes.size()), bytes.size()));
  return x86::decode_system_instruction(Bytes(bytes).first(size));
}

bool Instrumentation::behind_port_read(PluginBlock* block, std::size_t i) const noexcept {
  if (i > 0) {
    std::uint8_t size = 0;
    return decode(api_.block_instruction(block, i - 1), size).kind ==
           x86::SystemInstruction::Kind::in;
  }
  // The first of a block: one byte (in from dx) or two (from a port by number) stand before it.
  const auto address = api_.block_address(block);
  if (api_.read_memory == nullptr || address < 2) return false;
  auto* before = api_.bytes_new();
  const bool behind = api_.read_memory(address - 2, before, 2) &&
                      (before->data[1] == 0xec || before->data[1] == 0xed ||
                       before->data[0] == 0xe4 || before->data[0] == 0xe5);
  (void)api_.bytes_free(before, 1);
  return behind;
}

void Instrumentation::translate_system(PluginBlock* block, std::size_t i) noexcept {
  auto* instruction = api_.block_instruction(block, i);
  const auto address = api_.instruction_address(instruction);
  std::uint8_t size = 0;
  auto decoded = decode(instruction, size);
  const auto hook_it = [&](bool after_port) {
    const std::lock_guard lock(mutex_);
    auto& known = system_hooks_[address];
    for (const auto& hook : known) {
      if (hook->instruction == decoded && hook->size == size && hook->after_port == after_port) {
        api_.on_execute(instruction, on_system, CallbackRegisters::read, hook.get());
        return;
      }
    }
    known.push_back(
        std::make_unique<SystemHook>(SystemHook{this, address, decoded, size, after_port}));
    api_.on_execute(instruction, on_system, CallbackRegisters::read, known.back().get());
  };
  // What `in` read is seen at the instruction behind it, which may begin a block of its own.
  if (watches_ports_ && behind_port_read(block, i)) {
    const auto keep = decoded;
    decoded = {};
    hook_it(true);
    decoded = keep;
  }
  using Kind = x86::SystemInstruction::Kind;
  if (decoded.kind == Kind::other) return;
  const bool wanted =
      std::any_of(system_probes_.begin(), system_probes_.end(), [&](const AgentProbe* probe) {
        switch (probe->event) {
          case AgentEvent::control_write:
            return (decoded.kind == Kind::write_control && decoded.control == probe->param) ||
                   ((decoded.kind == Kind::lmsw || decoded.kind == Kind::clts) &&
                    probe->param == 0);
          case AgentEvent::msr_write:
            return decoded.kind == Kind::wrmsr;
          case AgentEvent::idtr_write:
            return decoded.kind == Kind::lidt;
          case AgentEvent::gdtr_write:
            return decoded.kind == Kind::lgdt;
          case AgentEvent::port_read:
            return decoded.reads_port() && (!decoded.port || *decoded.port == probe->param);
          case AgentEvent::port_write:
            return decoded.writes_port() && (!decoded.port || *decoded.port == probe->param);
          default:
            return false;
        }
      });
  if (wanted) hook_it(false);
}

bool Instrumentation::same_param(const AgentProbe& probe, std::uint64_t param) {
  return probe.param == kAny || probe.param == param;
}

void Instrumentation::fire_all(RunningProgram::Vcpu& cpu, AgentEvent kind, std::uint64_t param,
                               EventAt event) noexcept {
  for (const auto* probe : system_probes_) {
    if (probe->event != kind || !same_param(*probe, param)) continue;
    event.probe = probe;
    program_.fire(cpu, event);
  }
}

void Instrumentation::on_system(unsigned vcpu, void* data) {
  const auto& hook = *static_cast<const SystemHook*>(data);
  auto* cpu = hook.owner->program_.vcpu(vcpu);
  if (cpu == nullptr) return;
  cpu->registers.settle();
  hook.owner->system(*cpu, hook);
}

void Instrumentation::system(RunningProgram::Vcpu& cpu, const SystemHook& hook) noexcept {
  using Kind = x86::SystemInstruction::Kind;
  auto& registers = cpu.registers;
  const auto word = [&](Reg reg) { return registers.get(reg).value_or(0); };
  EventAt event;
  event.address = hook.address;
  if (hook.after_port) {
    for (auto& pending : pending_[cpu.index]) {
      if (pending.next != hook.address) continue;
      pending.next = 0;
      event.fields = {pending.port, pending.size, low_bytes(word(Reg::rax), pending.size)};
      fire_all(cpu, AgentEvent::port_read, pending.port, event);
      break;
    }
    return;
  }
  const auto& instruction = hook.instruction;
  switch (instruction.kind) {
    case Kind::write_control: {
      static constexpr std::array<Reg, 9> kControl = {Reg::cr0,    Reg::count_, Reg::cr2,
                                                      Reg::cr3,    Reg::cr4,    Reg::count_,
                                                      Reg::count_, Reg::count_, Reg::cr8};
      if (instruction.control >= kControl.size() || kControl[instruction.control] == Reg::count_)
        return;
      event.fields[0] = registers.get(kControl[instruction.control]);
      event.fields[1] = registers.general(instruction.reg);
      return fire_all(cpu, AgentEvent::control_write, instruction.control, event);
    }
    case Kind::clts:
      event.fields[0] = word(Reg::cr0);
      event.fields[1] = word(Reg::cr0) & ~8ULL;
      return fire_all(cpu, AgentEvent::control_write, 0, event);
    case Kind::lmsw: {
      const auto old = word(Reg::cr0);
      if (instruction.memory) return;  // no kernel does
      event.fields[0] = old;
      event.fields[1] = (old & ~0xeULL) | (registers.general(instruction.reg) & 0xf) | (old & 1);
      return fire_all(cpu, AgentEvent::control_write, 0, event);
    }
    case Kind::wrmsr: {
      const auto index = static_cast<std::uint32_t>(word(Reg::rcx));
      const auto value = word(Reg::rdx) << 32 | (word(Reg::rax) & 0xffffffff);
      auto& last = last_[cpu.index].msrs;
      event.fields[0] = index;
      switch (index) {
        case kEfer:
          event.fields[1] = registers.get(Reg::efer);
          break;
        case kFsBase:
          event.fields[1] = registers.get(Reg::fs_base);
          break;
        case kGsBase:
          event.fields[1] = registers.get(Reg::gs_base);
          break;
        case kKernelGsBase:
          event.fields[1] = registers.get(Reg::kernel_gs_base);
          break;
        default:
          if (const auto known = last.find(index); known != last.end())
            event.fields[1] = known->second;
          if (last.size() < 4096) last[index] = value;
          break;
      }
      event.fields[2] = value;
      return fire_all(cpu, AgentEvent::msr_write, index, event);
    }
    case Kind::lidt:
    case Kind::lgdt: {
      const auto& operand = *instruction.memory;
      std::uint64_t at =
          static_cast<std::uint64_t>(static_cast<std::int64_t>(operand.displacement));
      if (operand.rip_relative) at += hook.address + hook.size;
      if (operand.base != x86::MemoryOperand::kNone) at += registers.general(operand.base);
      if (operand.index != x86::MemoryOperand::kNone)
        at += registers.general(operand.index) * operand.scale;
      if (operand.segment == 4) at += word(Reg::fs_base);
      if (operand.segment == 5) at += word(Reg::gs_base);
      const bool interrupts = instruction.kind == Kind::lidt;
      const auto kind = interrupts ? AgentEvent::idtr_write : AgentEvent::gdtr_write;
      event.probe = &program_.plan().probes.front();
      cpu.environment.begin(event);
      auto& last = interrupts ? last_[cpu.index].idtr : last_[cpu.index].gdtr;
      if (const auto table = registers.table(interrupts))
        event.fields[0] = table->base.value;
      else
        event.fields[0] = last;
      if (const auto limit = cpu.environment.memory().load<std::uint16_t>(at))
        event.fields[2] = *limit;
      if (const auto base = cpu.environment.memory().load<std::uint64_t>(at + 2)) {
        event.fields[1] = *base;
        last = *base;
      }
      return fire_all(cpu, kind, kAny, event);
    }
    case Kind::in:
    case Kind::ins:
    case Kind::out:
    case Kind::outs: {
      const auto port =
          instruction.port ? *instruction.port : static_cast<std::uint16_t>(word(Reg::rdx));
      event.fields = {port, instruction.size, std::nullopt};
      if (instruction.kind == Kind::in) {
        auto& all = pending_[cpu.index];
        auto slot = std::find_if(all.begin(), all.end(),
                                 [](const PendingIn& one) { return one.next == 0; });
        if (slot == all.end()) slot = all.begin();
        *slot = {hook.address + hook.size, static_cast<std::uint16_t>(port), instruction.size};
        return;
      }
      if (instruction.kind == Kind::out)
        event.fields[2] = low_bytes(word(Reg::rax), instruction.size);
      if (instruction.kind == Kind::outs) {
        event.probe = &program_.plan().probes.front();
        cpu.environment.begin(event);
        std::uint64_t value = 0;
        if (cpu.environment.memory().read(word(Reg::rsi),
                                          writable_bytes_of(value).first(instruction.size)))
          event.fields[2] = value;
      }
      return fire_all(cpu,
                      instruction.reads_port() ? AgentEvent::port_read : AgentEvent::port_write,
                      port, event);
    }
    case Kind::other:
      return;
  }
}

}  // namespace vitrine::probe
