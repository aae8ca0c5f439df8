// Accesses to watched memory: which instructions are looked at, and what stood there before them.
#include <algorithm>

#include "base/bytes.h"
#include "probe/agent/instrumentation.h"
#include "probe/block_needs.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMaxInstruction = 15;
constexpr std::size_t kMostHooks = 16;  ///< at one address, whose code changes
constexpr std::uint64_t kNarrow = 1ULL << 32;
constexpr std::uint64_t kLongest = 1ULL << 40;

constexpr unsigned kRead = 1, kWrite = 2;

/// The block looks at event.old.
bool looks_at_old(const vmipl::Program& program, const AgentProbe& probe) {
  const auto fields = vmipl::probes()[program.probes[probe.probe].probe].fields;
  const auto used = block_needs(program, probe.probe).fields;
  return std::any_of(used.begin(), used.end(), [&](std::uint8_t field) {
    return field < fields.size() && fields[field].name == "old";
  });
}

}  // namespace

void Instrumentation::watch(const AgentProbe& probe) {
  const auto kinds =
      probe.event == AgentEvent::table_write ? kWrite : static_cast<unsigned>(probe.param);
  access_kinds_ |= kinds;
  const auto needs = block_needs(program_.program(), probe.probe);
  access_needs_registers_ =
      access_needs_registers_ || probe.held || needs.register_values || needs.stacks;
  if ((kinds & kWrite) != 0 && looks_at_old(program_.program(), probe)) wants_old_ = true;
  for (const auto& range : probe.ranges) {
    watched_.add(range.start, range.size);
    accesses_.push_back({&probe, range.start, range.size});
  }
}

bool Instrumentation::reaches(PluginBlock* block) noexcept {
  const bool kernel = static_cast<std::int64_t>(api_.block_address(block)) < 0;
  // Kernel memory can be reached by code that runs in the kernel alone.
  if (!kernel) return !access_is_kernel_;
  // Programs' memory by the kernel's only between stac and clac, where there is SMAP.
  if (!access_is_user_) return true;
  const auto mode = translating_.mode();
  return !mode || !mode->kept_out;
}

Instrumentation::StoreHook* Instrumentation::store_hook(
    PluginInstruction* instruction, std::uint64_t block,
    const std::optional<CodeMode>& mode) noexcept {
  std::array<std::byte, kMaxInstruction> bytes{};
  const auto size =
      std::min(api_.instruction_bytes(instruction, bytes.data(), bytes.size()), bytes.size());
  const auto address = api_.instruction_address(instruction);
  const auto code = Bytes(bytes).first(size);
  StoreHook hook{
      this, 0, address + size, x86::decode_store_target(code, !mode || !mode->narrow), {}};
  // 32-bit programs live below 4 GiB, and others may: else the CPU says which it is when it runs.
  hook.either = !mode && address < kNarrow;
  if (hook.either) hook.narrow_target = x86::decode_store_target(code, false);
  if (!wants_old_ && !hook.target.atomic && !hook.narrow_target.atomic) return nullptr;
  if (hook.target.kind == x86::StoreTarget::none &&
      hook.narrow_target.kind == x86::StoreTarget::none)
    return nullptr;
  hook.block = block;
  const std::lock_guard lock(mutex_);
  auto& known = store_hooks_[address];
  for (const auto& one : known) {
    if (one->block == hook.block && one->next == hook.next && one->target == hook.target &&
        one->narrow_target == hook.narrow_target && one->either == hook.either)
      return one.get();
  }
  if (known.size() >= kMostHooks) return nullptr;
  return known.emplace_back(std::make_unique<StoreHook>(hook)).get();
}

void Instrumentation::translate_accesses(PluginBlock* block, std::size_t count) noexcept {
  const auto registers =
      access_needs_registers_ ? CallbackRegisters::read : CallbackRegisters::none;
  const auto kinds = static_cast<MemoryAccess>(access_kinds_);
  const auto start = api_.block_address(block);
  const bool writes = (access_kinds_ & kWrite) != 0;
  const auto mode = writes && start < kNarrow ? translating_.mode() : std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    auto* instruction = api_.block_instruction(block, i);
    auto* hook = writes ? store_hook(instruction, start, mode) : nullptr;
    if (hook == nullptr) {
      api_.on_memory(instruction, on_access, registers, kinds, this);
      continue;
    }
    api_.on_execute(instruction, before_store, CallbackRegisters::read, hook);
    // What an exchange finds is the one value that no other CPU can change in between.
    const bool finds = hook->target.exchanges || hook->narrow_target.exchanges;
    api_.on_memory(instruction, on_store, registers, finds ? MemoryAccess::both : kinds, hook);
  }
}

// ---- at execution

void Instrumentation::before_store(unsigned vcpu, void* data) {
  const auto& hook = *static_cast<const StoreHook*>(data);
  auto* cpu = hook.owner->program_.vcpu(vcpu);
  if (cpu == nullptr) return;
  cpu->registers.settle();
  hook.owner->about_to_store(*cpu, hook);
}

void Instrumentation::about_to_store(RunningProgram::Vcpu& cpu, const StoreHook& hook) noexcept {
  using Target = x86::StoreTarget;
  auto& registers = cpu.registers;
  if (before_) before_->drop(cpu.index);
  const bool narrow = hook.either && registers.get(Reg::cs) == kNarrowCode;
  const auto& target = narrow ? hook.narrow_target : hook.target;
  auto& store = stores_[cpu.index];
  store.size = 0;
  store.target = target;
  if (target.compares)
    store.expected = {registers.get(Reg::rax).value_or(0), registers.get(Reg::rdx).value_or(0)};
  if (!before_) return;

  const auto shorten = [&](std::uint64_t value) {
    return target.narrow ? value & (kNarrow - 1) : value;
  };
  std::uint64_t first = 0, size = target.size, forward = 0;
  switch (target.kind) {
    case Target::none:
      return;
    case Target::stack:
      first = shorten(registers.general(4) - target.size);
      break;
    case Target::string: {
      first = shorten(registers.general(7));
      if (!target.repeated) break;
      const auto count = shorten(registers.general(1));
      if (count == 0) return;
      // Which way it runs QEMU does not tell: there and back.
      const auto reach = (count > kLongest / target.size ? kLongest : count * target.size);
      const auto back = std::min(reach - target.size, first);
      forward = first;
      first -= back;
      size = back + reach;
      break;
    }
    case Target::operand: {
      const auto& memory = target.memory;
      first = static_cast<std::uint64_t>(std::int64_t{memory.displacement});
      if (memory.base != x86::MemoryOperand::kNone) first += registers.general(memory.base);
      if (memory.index != x86::MemoryOperand::kNone)
        first += registers.general(memory.index) * memory.scale;
      if (memory.rip_relative) {
        // The same translation serves every address at which its page is mapped: the CPU tells
        // where the block is now, and both differ by whole pages.
        const auto moved = registers.get(Reg::rip).value_or(hook.block) - hook.block;
        first += hook.next + (moved & ~std::uint64_t{4095});
      }
      if (target.bits != 0) {
        const auto bit = registers.general(target.bit_index);
        const auto word = target.bits == 8   ? static_cast<std::int64_t>(bit) >> 6
                          : target.bits == 4 ? static_cast<std::int32_t>(bit) >> 5
                                             : static_cast<std::int16_t>(bit) >> 4;
        first += static_cast<std::uint64_t>(word * target.bits);
      }
      first = shorten(first);
      if (memory.segment == 4 || memory.segment == 5)
        first += registers.get(memory.segment == 4 ? Reg::fs_base : Reg::gs_base).value_or(0);
      break;
    }
  }
  const auto last = first + size - 1;
  if (last < first || !watched_.touched(first, last)) return;
  // Beyond the edges of what is watched, too: an access may reach over them.
  constexpr std::uint64_t kEdge = 64;
  const auto part = watched_.part(first, last);
  auto from = part.first - std::min(kEdge, part.first - first);
  const auto to = part.last + std::min(kEdge, last - part.last);
  // Where not all has room: upwards, as nearly all do.
  if (to - from >= before_->most() && forward > from && forward <= to) from = forward;
  EventAt event;
  cpu.environment.begin(event);
  before_->keep(cpu.index, cpu.environment.memory(), from, to - from + 1);
}

void Instrumentation::on_access(unsigned vcpu, std::uint32_t info, std::uint64_t address,
                                void* data) {
  auto& self = *static_cast<Instrumentation*>(data);
  if (!self.watched_.touched(address, address + 15)) [[likely]]
    return;
  if (auto* cpu = self.program_.vcpu(vcpu); cpu != nullptr)
    self.accessed(*cpu, info, address, false);
}

void Instrumentation::on_store(unsigned vcpu, std::uint32_t info, std::uint64_t address,
                               void* data) {
  auto& self = *static_cast<const StoreHook*>(data)->owner;
  if (!self.watched_.touched(address, address + 15)) [[likely]]
    return;
  if (auto* cpu = self.program_.vcpu(vcpu); cpu != nullptr)
    self.accessed(*cpu, info, address, true);
}

std::pair<std::optional<std::uint64_t>, std::optional<std::uint64_t>> Instrumentation::values(
    RunningProgram::Vcpu& cpu, std::uint32_t info, std::uint64_t address,
    bool from_store) noexcept {
  const auto size = static_cast<unsigned>(1U << api_.memory_size_shift(info));
  const auto part = std::min(size, 8U);
  const auto& store = stores_[cpu.index];
  const bool write = from_store && api_.memory_is_store(info);
  std::optional<std::uint64_t> value, old;
  // Of an atomic operation QEMU tells its operand for what it wrote, and of some what it wrote for
  // what it read (seen with 9.1 to 10.0): what memory says is right. Of exchanges both are right.
  if (api_.memory_value != nullptr && (!write || !store.target.atomic || store.target.exchanges)) {
    value = low_bytes(api_.memory_value(info).low, part);
  } else {
    std::array<std::byte, 8> now{};
    if (cpu.environment.memory().read(address, MutableBytes(now).first(part)))
      value = low_bytes(*load<std::uint64_t>(now, 0), part);
  }
  if (!write) return {value, old};
  if (store.target.exchanges && store.size == size && store.address == address) {
    old = low_bytes(store.read[0], part);
    // One that found another value than it compares with writes back what it found; QEMU tells of
    // the one that it would have written.
    const bool same =
        size <= 8 ? low_bytes(store.expected[0], size) == old : store.read == store.expected;
    if (store.target.compares && !same) value = old;
    return {value, old};
  }
  if (before_ && api_.physical != nullptr && api_.physical_address != nullptr) {
    if (const auto* place = api_.physical(info, address); place != nullptr)
      old = before_->find(cpu.index, address, part, api_.physical_address(place));
    // If another CPU came between, what stands there now may be its.
    if (store.target.atomic && !old) value.reset();
    before_->wrote(cpu.index, address, part, value.value_or(0));
  }
  return {value, old};
}

void Instrumentation::accessed(RunningProgram::Vcpu& cpu, std::uint32_t info, std::uint64_t address,
                               bool from_store) noexcept {
  const std::uint64_t size = 1ULL << api_.memory_size_shift(info);
  const bool write = api_.memory_is_store(info);
  if (from_store && !write && stores_[cpu.index].target.exchanges && api_.memory_value != nullptr &&
      size <= 16) {
    auto& store = stores_[cpu.index];
    const auto value = api_.memory_value(info);
    store.address = address;
    store.size = size;
    store.read = {value.both[0], size > 8 ? value.both[1] : 0};
  }
  const auto concerns = [&](const Access& access) {
    if (address + size <= access.start || address >= access.start + access.size) return false;
    const auto kinds =
        access.probe->event == AgentEvent::table_write ? kWrite : access.probe->param;
    return (kinds & (write ? kWrite : kRead)) != 0;
  };
  auto next = std::find_if(accesses_.begin(), accesses_.end(), concerns);
  if (next == accesses_.end()) return;
  cpu.registers.settle();
  EventAt event;
  event.probe = next->probe;
  cpu.environment.begin(event);
  const auto [value, old] = values(cpu, info, address, from_store);
  for (; next != accesses_.end(); next = std::find_if(next + 1, accesses_.end(), concerns)) {
    event = {};
    event.probe = next->probe;
    if (event.probe->event == AgentEvent::table_write)
      event.fields = {address,
                      (address - next->start) / std::max<std::uint64_t>(next->probe->param, 1),
                      size, old, value};
    else
      event.fields = {address, size, value, old, write ? 1 : 0};
    program_.fire(cpu, event);
    // The host may have written meanwhile, and others may have had their time.
    if (event.probe->held && before_) before_->drop(cpu.index);
  }
}

}  // namespace vitrine::probe
