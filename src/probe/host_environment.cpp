#include "probe/host_environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "linux/tasks.h"
#include "linux/walk/list.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

/// The place of a moment in the catalogue.
unsigned moment_index(std::string_view group, std::string_view name) {
  const auto* found = vmipl::find_moment(group, name);
  return found == nullptr ? ~0U : static_cast<unsigned>(found - vmipl::moments().data());
}

std::size_t put(std::string_view text, std::span<char> into) {
  const auto size = std::min(text.size(), into.size());
  std::copy_n(text.begin(), size, into.begin());
  return size;
}

// x86::Gpr's order is not the catalogue's.
std::optional<std::uint64_t> register_value(const x86::Registers& regs, std::string_view name) {
  struct General {
    std::string_view name;
    x86::Gpr gpr;
  };
  static constexpr General kGeneral[] = {
      {"rax", x86::kRax}, {"rbx", x86::kRbx}, {"rcx", x86::kRcx}, {"rdx", x86::kRdx},
      {"rsi", x86::kRsi}, {"rdi", x86::kRdi}, {"rsp", x86::kRsp}, {"rbp", x86::kRbp},
      {"r8", x86::kR8},   {"r9", x86::kR9},   {"r10", x86::kR10}, {"r11", x86::kR11},
      {"r12", x86::kR12}, {"r13", x86::kR13}, {"r14", x86::kR14}, {"r15", x86::kR15}};
  for (const auto& general : kGeneral) {
    if (general.name == name) return regs.gpr[general.gpr];
  }
  if (name == "rip") return regs.rip;
  if (name == "rflags") return regs.rflags;
  if (name == "cr0") return regs.cr0;
  if (name == "cr2") return regs.cr2;
  if (name == "cr3") return regs.cr3;
  if (name == "cr4") return regs.cr4;
  if (name == "efer") return regs.efer;
  if (name == "fs_base") return regs.fs.base;
  if (name == "gs_base") return regs.gs.base;
  return std::nullopt;
}

std::optional<RegisterParts> register_parts(const x86::Registers& regs, std::string_view name) {
  const auto segment = [](const x86::Segment& from) {
    return RegisterParts{from.base, from.limit, from.selector, from.attributes};
  };
  if (name == "cs") return segment(regs.cs);
  if (name == "ss") return segment(regs.ss);
  if (name == "ds") return segment(regs.ds);
  if (name == "es") return segment(regs.es);
  if (name == "fs") return segment(regs.fs);
  if (name == "gs") return segment(regs.gs);
  if (name == "tr") return segment(regs.tr);
  if (name == "ldtr") return segment(regs.ldt);
  if (name == "gdtr") return RegisterParts{.base = regs.gdtr.base.value, .limit = regs.gdtr.limit};
  if (name == "idtr") return RegisterParts{.base = regs.idtr.base.value, .limit = regs.idtr.limit};
  return std::nullopt;
}

}  // namespace

std::optional<std::string> symbol_words(const linux::Kernel& kernel, std::uint64_t address) {
  auto found = kernel.symbols().nearest(Gva{address});
  if (!found) found = kernel.module_symbols().nearest(Gva{address});
  if (!found) return std::nullopt;
  const auto distance = Gva{address} - found->address;
  return fmt::format("{}{}{}", found->module.empty() ? "" : fmt::format("[{}] ", found->module),
                     found->name, distance == 0 ? "" : fmt::format("+{:#x}", distance));
}

HostEnvironment::HostEnvironment(const vmipl::Program& program, HostGuest& guest, Emit emit)
    : program_(program),
      guest_(guest),
      emit_(std::move(emit)),
      rows_(guest.kernel, program),
      reader_(guest.moment.layout, *this) {}

void HostEnvironment::begin(HeldFiring& firing) {
  firing_ = &firing;
  monitor_.reset();
  asked_monitor_ = false;
  task_.reset();
  cpu_.reset();
  pids_.reset();
  space_.reset();
  user_.reset();
  user_pgd_ = 0;
  guest_.kernel.memory().forget();
  if (const auto* regs = firing.registers(); regs != nullptr && regs->paging()) {
    // The kernel's half of a pair of tables (page table isolation) maps all that the user's maps.
    const auto cr3 =
        guest_.kernel.identity().page_table_isolation ? regs->cr3 & ~0x1000ULL : regs->cr3;
    space_.emplace(guest_.kernel.ram(), x86::PageRoot::from(cr3, regs->five_levels()));
  }
}

const x86::Registers* HostEnvironment::registers() {
  if (const auto* regs = firing_->registers()) return regs;
  // By the host's clock: those of the first virtual CPU, as of now.
  if (!asked_monitor_) {
    asked_monitor_ = true;
    if (firing_->cpu || vmipl::probes()[program_.probes[firing_->probe].probe].carries != 0)
      return nullptr;
    if (auto all = guest_.machine.registers()) monitor_ = std::move(*all);
  }
  return monitor_ && !monitor_->empty() ? &monitor_->front() : nullptr;
}

std::optional<std::uint64_t> HostEnvironment::task() {
  if (task_) return *task_;
  task_.emplace(std::nullopt);
  static const unsigned kThreadTask = moment_index("thread", "task");
  const auto told = firing_->moment(kThreadTask);
  if (told.state == Told::number) *task_ = told.number_value;
  if (told.state != Told::unknown) return *task_;
  const auto* regs = firing_->registers();
  if (regs == nullptr || !firing_->cpu) return std::nullopt;
  cpu_ = reader_.cpu(
      {.gs_base = regs->gs.base, .index = *firing_->cpu, .user_mode = regs->privilege() == 3});
  if (cpu_) *task_ = reader_.current(*cpu_);
  return *task_;
}

std::optional<std::uint64_t> HostEnvironment::argument(unsigned index) {
  const auto* regs = firing_->registers();
  if (regs == nullptr || index > 5) return std::nullopt;
  // The kernel's functions: System V AMD64 ABI. Its system calls: rcx is the return address, so
  // r10.
  const bool system_call = (vmipl::probes()[program_.probes[firing_->probe].probe].carries &
                            vmipl::Carries::system_call) != 0;
  static constexpr x86::Gpr kCall[] = {x86::kRdi, x86::kRsi, x86::kRdx,
                                       x86::kRcx, x86::kR8,  x86::kR9};
  return regs->gpr[index == 3 && system_call ? x86::kR10 : kCall[index]];
}

std::optional<std::uint64_t> HostEnvironment::moment(unsigned index) noexcept {
  static const unsigned kNow = moment_index("", "now"), kCpu = moment_index("", "cpu"),
                        kRet = moment_index("", "ret"), kArg0 = moment_index("", "arg0"),
                        kNumber = moment_index("syscall", "number");
  const auto told = firing_->moment(index);
  if (told.state == Told::number) return told.number_value;
  if (told.state != Told::unknown) return std::nullopt;
  if (index == kNow)
    return firing_->monotonic_ns + static_cast<std::uint64_t>(guest_.wall_minus_monotonic);
  if (index == kCpu)
    return firing_->cpu ? std::optional<std::uint64_t>(*firing_->cpu) : std::nullopt;
  if (index >= kArg0 && index < kArg0 + 6) return argument(index - kArg0);
  if (index == kRet)
    return firing_->registers() != nullptr ? std::optional(firing_->registers()->gpr[x86::kRax])
                                           : std::nullopt;
  if (index == kNumber)
    return firing_->registers() != nullptr ? std::optional(firing_->registers()->gpr[x86::kRax])
                                           : std::nullopt;
  if (!reader_.knows(index)) return std::nullopt;
  const auto who = task();
  return who ? reader_.number(index, *who) : std::nullopt;
}

std::optional<std::size_t> HostEnvironment::moment_text(unsigned index,
                                                        std::span<char> into) noexcept {
  static const unsigned kSyscallName = moment_index("syscall", "name"),
                        kNumber = moment_index("syscall", "number"),
                        kKernelStack = moment_index("", "kstack"),
                        kUserStack = moment_index("", "ustack");
  const auto told = firing_->moment(index);
  if (told.state == Told::text) return put(told.text_value, into);
  if (told.state != Told::unknown) return std::nullopt;
  if (index == kKernelStack || index == kUserStack) {
    if (!guest_.stack) return std::nullopt;
    return guest_.stack(index == kUserStack, *firing_, into);
  }
  if (index == kSyscallName) {
    const auto number = moment(kNumber);
    const auto name = number ? vmipl::system_call_name(*number) : std::string_view();
    if (name.empty()) return std::nullopt;
    return put(name, into);
  }
  if (!reader_.knows(index)) return std::nullopt;
  const auto who = task();
  return who ? reader_.text(index, *who, into) : std::nullopt;
}

std::optional<std::uint64_t> HostEnvironment::field(unsigned index) noexcept {
  const auto told = firing_->field(index);
  if (told.state != Told::number) return std::nullopt;
  return told.number_value;
}

std::optional<std::size_t> HostEnvironment::field_text(unsigned index,
                                                       std::span<char> into) noexcept {
  const auto told = firing_->field(index);
  if (told.state == Told::text) return put(told.text_value, into);
  // The one text that follows from the others: the name of event.address. Sources without symbols
  // (the agent) tell it as missing.
  const auto fields = vmipl::probes()[program_.probes[firing_->probe].probe].fields;
  if (fields[index].name != "symbol") return std::nullopt;
  for (unsigned i = 0; i < fields.size(); ++i) {
    if (fields[i].name != "address") continue;
    const auto address = field(i);
    return address ? symbol(*address, into) : std::nullopt;
  }
  return std::nullopt;
}

bool HostEnvironment::read(std::uint64_t va, MutableBytes into) noexcept {
  if (space_) return space_->read(Gva{va}, into).has_value();
  return kernel(va, into);
}

bool HostEnvironment::read_physical(std::uint64_t gpa, MutableBytes into) noexcept {
  return guest_.kernel.ram().read(Gpa{gpa}, into).has_value();
}

bool HostEnvironment::kernel(std::uint64_t address, MutableBytes into) noexcept {
  return guest_.kernel.memory().read(Gva{address}, into).has_value();
}

bool HostEnvironment::user(std::uint64_t pgd, std::uint64_t address, MutableBytes into) noexcept {
  if (!user_ || user_pgd_ != pgd) {
    const auto table = guest_.kernel.memory().translate(Gva{pgd});
    if (!table) return false;
    user_.emplace(guest_.kernel.ram(),
                  x86::PageRoot{table->address, guest_.kernel.identity().levels, true});
    user_pgd_ = pgd;
  }
  return user_->read(Gva{address}, into).has_value();
}

std::optional<std::uint64_t> HostEnvironment::reg(unsigned index) noexcept {
  const auto& info = vmipl::registers()[index];
  const auto* regs = registers();
  if (regs == nullptr) return std::nullopt;
  if (const auto value = register_value(*regs, info.name)) return value;
  const auto parts = register_parts(*regs, info.name);
  if (!parts) return std::nullopt;
  return info.kind == vmipl::RegisterInfo::segment ? parts->selector : parts->base;
}

std::optional<RegisterParts> HostEnvironment::parts(unsigned index) noexcept {
  const auto* regs = registers();
  return regs != nullptr ? register_parts(*regs, vmipl::registers()[index].name) : std::nullopt;
}

std::optional<std::size_t> HostEnvironment::symbol(std::uint64_t address,
                                                   std::span<char> into) noexcept {
  const auto words = symbol_words(guest_.kernel, address);
  if (!words) return std::nullopt;
  return put(*words, into);
}

std::optional<std::uint64_t> HostEnvironment::per_cpu(std::uint64_t variable,
                                                      std::uint64_t cpu) noexcept {
  if (cpu > UINT32_MAX) return std::nullopt;
  const auto at = guest_.kernel.per_cpu(Gva{variable}, static_cast<unsigned>(cpu));
  if (!at) return std::nullopt;
  return at->value;
}

std::optional<bool> HostEnvironment::listed(std::uint64_t pid) noexcept {
  if (!pids_) {
    const auto list = linux::TaskList::open(guest_.kernel);
    if (!list) return std::nullopt;
    const auto listing = list->processes();
    if (listing.truncated) return std::nullopt;  // a list that breaks off proves nothing
    pids_.emplace();
    // The idle tasks, pid 0, stand in no list and are hidden from nobody.
    pids_->push_back(0);
    for (const auto& task : listing.tasks) {
      for (const auto& thread : list->threads_of(task).tasks) pids_->push_back(thread.pid);
    }
    std::sort(pids_->begin(), pids_->end());
  }
  return pid <= INT32_MAX &&
         std::binary_search(pids_->begin(), pids_->end(), static_cast<std::int32_t>(pid));
}

RecordHead HostEnvironment::head() {
  RecordHead head;
  head.monotonic_ns = firing_->monotonic_ns;
  head.wall_ns = static_cast<std::int64_t>(firing_->monotonic_ns) + guest_.wall_minus_monotonic;
  head.cpu = firing_->cpu.value_or(RecordHead::kHostCpu);
  head.probe = static_cast<std::uint16_t>(firing_->probe);
  static const unsigned kPid = moment_index("process", "pid"), kTid = moment_index("thread", "tid"),
                        kName = moment_index("process", "name");
  if ((vmipl::probes()[program_.probes[firing_->probe].probe].carries & vmipl::Carries::moment) ==
      0)
    return head;
  if (const auto pid = moment(kPid)) head.pid = static_cast<std::int32_t>(*pid);
  if (const auto tid = moment(kTid)) head.tid = static_cast<std::int32_t>(*tid);
  std::array<char, 64> name;
  if (const auto size = moment_text(kName, name))
    head.set_name(std::string_view(name.data(), *size));
  return head;
}

std::vector<Value> HostEnvironment::process_list(std::span<const std::uint64_t> fields) {
  std::vector<Value> values;
  static const unsigned kPath = moment_index("process", "path"),
                        kRoot = moment_index("process", "root"),
                        kThreadName = moment_index("thread", "name");
  std::array<char, 4096> text;
  const auto row = [&](std::uint64_t at) {
    for (const auto field : fields) {
      const auto name = vmipl::process_list_fields()[static_cast<std::size_t>(field)];
      if (name == "PID") {
        const auto pid = reader_.tid(at);
        values.emplace_back(pid ? ValueView::of(static_cast<std::uint64_t>(std::int64_t{*pid}))
                                : ValueView::missing());
      } else if (name == "PGDP") {
        const auto root = reader_.number(kRoot, at);
        values.emplace_back(root ? ValueView::of(*root) : ValueView::missing());
      } else {
        const auto size = reader_.text(name == "NAME" ? kThreadName : kPath, at, text);
        values.emplace_back(size ? ValueView::of(std::string_view(text.data(), *size))
                                 : ValueView::missing(true));
      }
    }
  };
  list_problem_.clear();
  if (guest_.list_head == 0) {
    list_problem_ =
        "ProcessList: this kernel has no symbol init_task, and the script says no ProcessListHead";
    return values;
  }
  const auto offset = guest_.list_offset;
  const auto walked = linux::walk_list(guest_.kernel.memory(), Gva{guest_.list_head + offset},
                                       linux::TaskList::kMaxTasks, [&](Gva node) {
                                         row(node.value - offset);
                                         return true;
                                       });
  if (walked.broken)
    list_problem_ = fmt::format("ProcessList: the list breaks off: {}", describe(*walked.broken));
  if (walked.truncated) list_problem_ = "ProcessList: the list is longer than a kernel's can be";
  return values;
}

bool HostEnvironment::emit(unsigned site, std::span<const ValueView> values) noexcept {
  return emit_(site, values);
}

}  // namespace vitrine::probe
