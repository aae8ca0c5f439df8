#include "probe/agent/agent_environment.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "probe/data_probe.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kScratch = kMaxRecord;

/// What of moments() the event itself tells; the rest is MomentReader's.
enum class Own : std::uint8_t { none, now, cpu, argument, result, call_number, call_name, compat };
struct OwnMoment {
  Own kind = Own::none;
  std::uint8_t index = 0;
};

std::array<OwnMoment, 64> own_moments() {
  std::array<OwnMoment, 64> own{};
  const auto all = vmipl::moments();
  for (std::size_t i = 0; i < all.size() && i < own.size(); ++i) {
    const auto& info = all[i];
    if (info.group.empty()) {
      if (info.name == "now") own[i] = {Own::now};
      if (info.name == "cpu") own[i] = {Own::cpu};
      if (info.name == "ret") own[i] = {Own::result};
      if (info.name.size() == 4 && info.name.starts_with("arg"))
        own[i] = {Own::argument, static_cast<std::uint8_t>(info.name[3] - '0')};
    } else if (info.group == "syscall") {
      if (info.name == "number") own[i] = {Own::call_number};
      if (info.name == "name") own[i] = {Own::call_name};
      if (info.name == "compat") own[i] = {Own::compat};
    }
  }
  return own;
}

const std::array<OwnMoment, 64>& own() {
  static const auto all = own_moments();
  return all;
}

/// registers() by what we can read; count_: it is not one word of our registers.
std::array<Reg, 64> catalogue_registers() {
  std::array<Reg, 64> map{};
  map.fill(Reg::count_);
  constexpr std::array<std::string_view, kRegCount> kNames = {
      "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp",     "rsp",     "r8",
      "r9",  "r10", "r11", "r12", "r13", "r14", "r15",     "rip",     "rflags",
      "cs",  "ss",  "ds",  "es",  "fs",  "gs",  "fs_base", "gs_base", "kernel_gs_base",
      "cr0", "cr2", "cr3", "cr4", "cr8", "efer"};
  const auto all = vmipl::registers();
  for (std::size_t i = 0; i < all.size() && i < map.size(); ++i) {
    for (std::size_t reg = 0; reg < kRegCount; ++reg) {
      if (all[i].name == kNames[reg]) map[i] = static_cast<Reg>(reg);
    }
  }
  return map;
}

const std::array<Reg, 64>& by_catalogue() {
  static const auto map = catalogue_registers();
  return map;
}

std::uint64_t nanoseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

// struct pt_regs of x86-64, in bytes. Source: Linux, arch/x86/include/asm/ptrace.h (a stable ABI
// between the entry code and everything that traces).
constexpr std::array<std::uint16_t, 6> kNativeArguments = {112, 104, 96,
                                                           56,  72,  64};  // di si dx r10 r8 r9
constexpr std::array<std::uint16_t, 6> kCompatArguments = {40,  88,  96,
                                                           104, 112, 32};  // bx cx dx si di bp

std::size_t copy_text(std::string_view text, std::span<char> into) {
  const auto size = std::min(text.size(), into.size());
  std::copy_n(text.begin(), size, into.begin());
  return size;
}

}  // namespace

AgentEnvironment::AgentEnvironment(const vmipl::Program& program, const AgentPlan& plan,
                                   const MomentLayout& layout, const HostedRam& ram,
                                   VcpuRegisters& registers, RingWriter ring, unsigned vcpu)
    : program_(program),
      plan_(plan),
      layout_(layout),
      registers_(registers),
      ring_(ring),
      vcpu_(vcpu),
      memory_(ram, plan.kernel),
      other_memory_(ram, plan.kernel),
      reader_(layout_, *this),
      values_(kMaxRecordValues),
      scratch_(std::make_unique_for_overwrite<std::byte[]>(kScratch)),
      data_(std::make_unique_for_overwrite<char[]>(kMaxDataBytes)) {
  (void)own();
  (void)by_catalogue();
}

void AgentEnvironment::begin(const EventAt& event) noexcept {
  event_ = &event;
  current_.reset();
  memory_begun_ = false;
}

void AgentEnvironment::begin_memory() noexcept {
  memory_.begin(registers_.get(Reg::cr3).value_or(0), plan_.kernel.levels == 5);
  memory_begun_ = true;
}

bool AgentEnvironment::read(std::uint64_t va, MutableBytes into) noexcept {
  return memory().read(va, into);
}
bool AgentEnvironment::read_physical(std::uint64_t gpa, MutableBytes into) noexcept {
  return memory().ram().read(gpa, into);
}
// What the kernel keeps of tasks lies in its direct map, which maps all of physical memory in
// order: no tables need be walked for it. (What a script reads itself is read as the CPU would.)
bool AgentEnvironment::kernel(std::uint64_t address, MutableBytes into) noexcept {
  return memory_.ram().read(address - layout_.direct_map, into) || memory().read(address, into);
}

bool AgentEnvironment::user(std::uint64_t pgd, std::uint64_t address, MutableBytes into) noexcept {
  // The tables' address is one of the direct map.
  const auto root = pgd - layout_.direct_map;
  const auto now = registers_.get(Reg::cr3).value_or(0) & 0x000f'ffff'ffff'e000;
  if ((root & ~0xfffULL) ==
      (plan_.kernel.isolated ? now : registers_.get(Reg::cr3).value_or(0) & 0x000f'ffff'ffff'f000))
    return memory().read(address, into);
  other_memory_.begin(root, plan_.kernel.levels == 5);
  return other_memory_.read(address, into);
}

std::uint64_t AgentEnvironment::current_task() noexcept {
  if (current_) return *current_;
  const auto gs = registers_.get(Reg::gs_base).value_or(0);
  // A virtual CPU is the same CPU of the kernel for as long as its variables lie where they lay.
  if (!cpu_ || (gs != cpu_->offset && !reader_.still(*cpu_))) {
    CpuAtEvent at;
    at.gs_base = gs;
    at.kernel_gs_base = registers_.get(Reg::kernel_gs_base).value_or(0);
    at.index = vcpu_;
    at.user_mode = (registers_.get(Reg::ss).value_or(0) & 3) == 3;
    // Right after a system call the GS base is still the program's: the other one is the kernel's.
    cpu_ = reader_.cpu(at);
  }
  current_ = cpu_ ? reader_.current(*cpu_).value_or(0) : 0;
  return *current_;
}

std::uint64_t AgentEnvironment::task() noexcept {
  return event_->task != 0 ? event_->task : current_task();
}

std::optional<std::uint64_t> AgentEnvironment::argument(unsigned i) noexcept {
  if (i >= 6) return std::nullopt;
  const auto low = [](std::uint64_t value) { return value & 0xffffffff; };
  switch (event_->probe->event) {
    case AgentEvent::syscall_return: {
      const auto at = event_->compat ? kCompatArguments[i] : kNativeArguments[i];
      const auto value = memory().load<std::uint64_t>(event_->regs + at);
      return value && event_->compat ? low(*value) : value;
    }
    case AgentEvent::syscall: {
      static constexpr std::array<Reg, 6> kNative = {Reg::rdi, Reg::rsi, Reg::rdx,
                                                     Reg::r10, Reg::r8,  Reg::r9};
      static constexpr std::array<Reg, 6> kInt80 = {Reg::rbx, Reg::rcx, Reg::rdx,
                                                    Reg::rsi, Reg::rdi, Reg::rbp};
      const auto entry = static_cast<SyscallEntry>(event_->detail);
      if (entry == SyscallEntry::native) return registers_.get(kNative[i]);
      if (i == 5 && entry != SyscallEntry::int80) {
        const auto stack = registers_.get(entry == SyscallEntry::sysenter ? Reg::rbp : Reg::rsp);
        return stack ? memory().load<std::uint32_t>(low(*stack)) : std::nullopt;
      }
      const auto reg = i == 1 && entry == SyscallEntry::syscall32 ? Reg::rbp : kInt80[i];
      const auto value = registers_.get(reg);
      return value ? std::optional(low(*value)) : std::nullopt;
    }
    default: {
      static constexpr std::array<Reg, 6> kFunction = {Reg::rdi, Reg::rsi, Reg::rdx,
                                                       Reg::rcx, Reg::r8,  Reg::r9};
      return registers_.get(kFunction[i]);
    }
  }
}

std::optional<std::uint64_t> AgentEnvironment::reg(unsigned i) noexcept {
  if (i >= by_catalogue().size()) return std::nullopt;
  const auto reg = by_catalogue()[i];
  // The instruction pointer is not kept up to date within a block: the site knows.
  if (reg == Reg::rip && event_->address != 0) return event_->address;
  if (reg != Reg::count_) return registers_.get(reg);
  const auto all = parts(i);
  if (!all) return std::nullopt;
  return vmipl::registers()[i].kind == vmipl::RegisterInfo::table ? all->base : all->selector;
}

std::optional<RegisterParts> AgentEnvironment::parts(unsigned i) noexcept {
  static constexpr std::array<std::string_view, 8> kSegments = {"es", "cs", "ss",   "ds",
                                                                "fs", "gs", "ldtr", "tr"};
  const auto all = vmipl::registers();
  if (i >= all.size()) return std::nullopt;
  if (all[i].kind == vmipl::RegisterInfo::table) {
    const auto table = registers_.table(all[i].name == "idtr");
    if (!table) return std::nullopt;
    return RegisterParts{.base = table->base.value, .limit = table->limit};
  }
  for (unsigned segment = 0; segment < kSegments.size(); ++segment) {
    if (kSegments[segment] != all[i].name) continue;
    const auto found = registers_.segment(segment);
    if (!found) return std::nullopt;
    return RegisterParts{found->base, found->limit, found->selector, found->attributes & 0xf0ffU};
  }
  return std::nullopt;
}

std::optional<std::uint64_t> AgentEnvironment::moment(unsigned i) noexcept {
  if (i >= own().size()) return std::nullopt;
  const auto known = own()[i];
  switch (known.kind) {
    case Own::now:
      return nanoseconds(CLOCK_REALTIME);
    case Own::cpu:
      return vcpu_;
    case Own::argument:
      return argument(known.index);
    case Own::result:
      return event_->result;
    case Own::call_number:
      return event_->call;
    case Own::compat:
      return event_->compat ? 1 : 0;
    case Own::call_name:
      return std::nullopt;
    case Own::none:
      break;
  }
  const auto whose = task();
  if (whose == 0) return std::nullopt;
  return reader_.number(i, whose);
}

std::optional<std::size_t> AgentEnvironment::moment_text(unsigned i,
                                                         std::span<char> into) noexcept {
  if (i >= own().size()) return std::nullopt;
  if (own()[i].kind == Own::call_name) {
    if (!event_->call) return std::nullopt;
    const auto number = static_cast<std::uint64_t>(*event_->call);
    const auto name =
        event_->compat ? vmipl::compat_system_call_name(number) : vmipl::system_call_name(number);
    if (name.empty()) return std::nullopt;
    return copy_text(name, into);
  }
  const auto whose = task();
  if (whose == 0) return std::nullopt;
  return reader_.text(i, whose, into);
}

std::optional<std::uint64_t> AgentEnvironment::field(unsigned i) noexcept {
  return i < event_->fields.size() ? event_->fields[i] : std::nullopt;
}

std::size_t AgentEnvironment::read_string(std::uint64_t at, std::span<char> into) noexcept {
  std::size_t size = 0;
  while (size < into.size()) {
    const auto part = std::min<std::uint64_t>(into.size() - size, 4096 - at % 4096);
    if (!memory().read(at, std::as_writable_bytes(into.subspan(size, part)))) break;
    const auto* end = static_cast<const char*>(std::memchr(into.data() + size, 0, part));
    if (end != nullptr) return static_cast<std::size_t>(end - into.data());
    size += part;
    at += part;
  }
  return size;
}

std::optional<std::size_t> AgentEnvironment::field_text(unsigned i, std::span<char> into) noexcept {
  if (event_->module == 0 || i != 0 || event_->probe->offsets.size() < kModuleOffsets)
    return std::nullopt;
  return read_string(event_->module + event_->probe->offsets[kModuleName],
                     into.first(std::min<std::size_t>(into.size(), 64)));
}

std::optional<std::uint64_t> AgentEnvironment::per_cpu(std::uint64_t variable,
                                                       std::uint64_t cpu) noexcept {
  return reader_.per_cpu(variable, cpu);
}

bool AgentEnvironment::emit(unsigned site, std::span<const ValueView> values) noexcept {
  RecordHead head;
  head.monotonic_ns = nanoseconds(CLOCK_MONOTONIC);
  head.wall_ns = static_cast<std::int64_t>(nanoseconds(CLOCK_REALTIME));
  head.sequence = sequence_++;
  head.cpu = vcpu_;
  head.probe = static_cast<std::uint16_t>(event_->probe->probe);
  head.site = static_cast<std::uint16_t>(site);
  if (const auto whose = task(); whose != 0) {
    head.pid = reader_.pid(whose).value_or(-1);
    head.tid = reader_.tid(whose).value_or(-1);
    std::array<char, 16> name{};
    if (const auto size = reader_.name(whose, name)) head.set_name({name.data(), *size});
  }
  if (is_local_data(program_.sites[site])) {
    std::array<ValueView, kMaxDataValues> read;
    const auto count =
        read_data(program_.sites[site], values, *this, {data_.get(), kMaxDataBytes}, read);
    if (values.size() + count <= values_.size()) {
      std::copy(values.begin(), values.end(), values_.begin());
      std::copy_n(read.begin(), count,
                  values_.begin() + static_cast<std::ptrdiff_t>(values.size()));
      values = std::span(values_).first(values.size() + count);
    }
  }
  const auto size = encode(head, values, {scratch_.get(), kScratch});
  if (size == 0)
    ring_.count_lost();
  else
    (void)ring_.write({scratch_.get(), size});
  return true;
}

}  // namespace vitrine::probe
