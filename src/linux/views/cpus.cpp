#include <fmt/core.h>

#include <algorithm>

#include "linux/current_tasks.h"
#include "linux/field.h"
#include "linux/kernel.h"
#include "linux/modules_strings.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/views/symbols_lookup.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kCpu,
  kOnline,
  kPid,
  kName,
  kTask,
  kIdle,
  kRip,
  kRipSymbol,
  kRsp,
  kCr3,
  kPrivilege,
  kHalted,
  kApicId,
  kModel,
  kVendor,
  kFamily,
  kModelNumber,
  kStepping,
  kMicrocode,
  kFlags,
  kPerCpu,
  kIdleTask
};

constexpr Column kColumns[] = {
    {"cpu", ColumnType::integer, "the kernel's number of it"},
    {"online", ColumnType::boolean, "it runs (__cpu_online_mask)"},
    {"pid", ColumnType::integer, "of the thread on it; 0: its idle task"},
    {"name", ColumnType::text, "of the thread on it"},
    {"task", ColumnType::address, "of that thread's task_struct", Column::hidden},
    {"idle", ColumnType::boolean, "that thread is the CPU's idle task (rq.idle)"},
    {"rip", ColumnType::address,
     "where it executes; this and the next five come from the machine, live only"},
    {"rip_symbol", ColumnType::text,
     "the kernel's or module's function there; absent: in a program"},
    {"rsp", ColumnType::address, "its stack pointer", Column::hidden},
    {"cr3", ColumnType::mask, "its page tables, with their tag (PCID)", Column::hidden},
    {"privilege", ColumnType::integer, "0: in the kernel, 3: in a program"},
    {"halted", ColumnType::boolean, "it waits for an interrupt (HLT)", Column::hidden},
    {"apic_id", ColumnType::integer, "its number on the interrupt bus", Column::hidden},
    {"model", ColumnType::text, "model name, as in /proc/cpuinfo", Column::hidden},
    {"vendor", ColumnType::text, "GenuineIntel, AuthenticAMD ...", Column::hidden},
    {"family", ColumnType::integer, "as in /proc/cpuinfo", Column::hidden},
    {"model_number", ColumnType::integer, "as in /proc/cpuinfo", Column::hidden},
    {"stepping", ColumnType::integer, "as in /proc/cpuinfo", Column::hidden},
    {"microcode", ColumnType::mask, "revision, as in /proc/cpuinfo", Column::hidden},
    {"flags", ColumnType::list, "features, as in /proc/cpuinfo", Column::hidden},
    {"per_cpu", ColumnType::address,
     "what is added to a per-CPU variable's address (__per_cpu_offset)", Column::hidden},
    {"idle_task", ColumnType::address, "of its idle task's task_struct", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "cpus",
    .summary = "the processors and what each is doing",
    .columns = kColumns,
    .order = "by number",
    .key = "cpu",
};

constexpr std::int64_t kNobody = -1;
constexpr std::size_t kMaxFlagWords = 64;
constexpr std::size_t kMaxFlagName = 64;

/// The words of x86_cap_flags: what /proc/cpuinfo calls each feature bit.
/// Nothing if one of them cannot be read; empty if this kernel has none.
std::optional<std::vector<std::string>> flag_names(const Kernel& kernel, const SymbolLookup& lookup,
                                                   std::uint64_t words) {
  const auto table = kernel.symbols().find("x86_cap_flags");
  const auto room = lookup.room("x86_cap_flags");
  if (!table || !room) return std::vector<std::string>();
  std::vector<std::uint64_t> pointers(
      std::min<std::uint64_t>(*room / 8, std::min<std::uint64_t>(words, kMaxFlagWords) * 32));
  if (!kernel.memory().read(*table, std::as_writable_bytes(std::span(pointers))))
    return std::nullopt;
  std::vector<std::string> names(pointers.size());
  StringReader strings(kernel.memory());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (pointers[i] != 0 && !strings.read(Gva{pointers[i]}, kMaxFlagName, names[i]))
      return std::nullopt;
  }
  return names;
}

struct Fields {
  Field<std::int32_t> pid, tgid;
  Field<std::string> comm;
  OptionalField<Gva> idle;
  OptionalField<std::uint32_t> apic_id, microcode;
  OptionalField<std::uint8_t> family, model_number, stepping;
  OptionalField<std::string> model, vendor;
  ArrayField<std::uint32_t> capabilities;

  static Fields from(const TypeCatalogue& types, std::string& missing) {
    Fields fields;
    FieldBinder bind(types);
    bind(fields.pid, "task_struct.pid");
    bind(fields.tgid, "task_struct.tgid");
    bind(fields.comm, "task_struct.comm");
    bind(fields.idle, "rq.idle");
    bind(fields.apic_id, {"cpuinfo_x86.topo.apicid", "cpuinfo_x86.apicid"});
    bind(fields.microcode, "cpuinfo_x86.microcode");
    bind(fields.family, "cpuinfo_x86.x86");
    bind(fields.model_number, "cpuinfo_x86.x86_model");
    bind(fields.stepping, "cpuinfo_x86.x86_stepping");
    bind(fields.model, "cpuinfo_x86.x86_model_id");
    bind(fields.vendor, "cpuinfo_x86.x86_vendor_id");
    bind(fields.capabilities, "cpuinfo_x86.x86_capability");
    if (auto done = bind.done(); !done) missing = done.error().message;
    return fields;
  }
};

class Reader final : public ViewReader {
 public:
  explicit Reader(const Kernel& kernel)
      : kernel_(kernel),
        memory_(kernel.memory()),
        lookup_(kernel),
        current_(kernel),
        fields_(Fields::from(kernel.types(), missing_)) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    std::vector<x86::Registers> registers;
    if (rows.wants_any(kRip, kRipSymbol, kRsp, kCr3, kPrivilege, kHalted)) {
      if (auto machines = kernel_.machine().registers()) {
        registers = *std::move(machines);
      } else if (kernel_.machine().live()) {
        tally.warnings.push_back("no registers: " + machines.error().message);
      }
    }
    const auto possible = mask("__cpu_possible_mask");
    const auto online = mask("__cpu_online_mask");
    for (unsigned cpu = 0; cpu < kernel_.cpu_count(); ++cpu) {
      if (possible && !bit(*possible, cpu)) continue;
      const bool runs = !online || bit(*online, cpu);
      if (!rows.wants_pid(runs ? process_on(cpu) : kNobody)) continue;
      rows.begin();
      rows.set(kCpu, std::int64_t{cpu});
      if (online || kernel_.one_cpu()) rows.set(kOnline, runs);
      if (const auto offset = kernel_.per_cpu(Gva{}, cpu)) rows.set(kPerCpu, offset->value);
      if (runs) {
        set_task(rows, cpu);
        set_info(rows, cpu);
        if (const auto* found = current_.registers_of(registers, cpu)) set_registers(rows, *found);
      }
      if (!rows.end()) break;
    }
    return tally;
  }

  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    std::vector<MissingColumns> missing;
    const auto absent = [&](std::vector<std::string_view> columns, std::string reason) {
      missing.push_back({std::move(columns), std::move(reason)});
    };
    const auto no_symbol = [](std::string_view name) {
      return fmt::format("this kernel has no symbol {}", name);
    };
    if (!current_.known())
      absent({"pid", "name", "task", "idle"}, no_symbol("current_task"));
    else if (!missing_.empty())
      absent({"pid", "name"}, missing_);
    if (!kernel_.symbols().find("runqueues")) absent({"idle_task"}, no_symbol("runqueues"));
    if (!kernel_.symbols().find("cpu_info") && !boot_cpu())
      absent({"apic_id", "model", "vendor", "family", "model_number", "stepping", "microcode",
              "flags"},
             no_symbol(kernel_.one_cpu() ? "boot_cpu_data" : "cpu_info"));
    else if (!kernel_.symbols().find("x86_cap_flags"))
      absent({"flags"}, no_symbol("x86_cap_flags"));
    return missing;
  }

 private:
  [[nodiscard]] std::optional<std::vector<std::uint64_t>> mask(std::string_view symbol) const {
    const auto start = kernel_.symbols().find(symbol);
    if (!start) return std::nullopt;
    std::vector<std::uint64_t> words((kernel_.cpu_count() + 63) / 64);
    if (!memory_.read(*start, std::as_writable_bytes(std::span(words)))) return std::nullopt;
    return words;
  }
  static bool bit(const std::vector<std::uint64_t>& words, unsigned cpu) {
    return (words[cpu / 64] >> (cpu % 64) & 1) != 0;
  }

  [[nodiscard]] std::optional<Gva> variable(std::string_view symbol, unsigned cpu) const {
    const auto address = kernel_.symbols().find(symbol);
    if (!address) return std::nullopt;
    const auto at = kernel_.per_cpu(*address, cpu);
    if (!at) return std::nullopt;
    return *at;
  }

  /// What a kernel for one CPU has in place of cpu_info (arch/x86/include/asm/processor.h).
  [[nodiscard]] std::optional<Gva> boot_cpu() const {
    if (!kernel_.one_cpu()) return std::nullopt;
    return kernel_.symbols().find("boot_cpu_data");
  }

  /// The pid of the process whose thread is on this CPU.
  [[nodiscard]] std::int64_t process_on(unsigned cpu) {
    const auto task = current_.on(cpu);
    if (!task || !fields_.tgid.bound()) return kNobody;
    const auto pid = fields_.tgid.read(memory_, *task);
    return pid ? std::int64_t{*pid} : kNobody;
  }

  void set_task(RowSink& rows, unsigned cpu) {
    if (!rows.wants_any(kPid, kName, kTask, kIdle, kIdleTask)) return;
    const auto task = current_.on(cpu);
    if (const auto queue = variable("runqueues", cpu); queue && fields_.idle.exists()) {
      if (const auto idle = fields_.idle.field().read(memory_, *queue)) {
        rows.set(kIdleTask, idle->value);
        if (task) rows.set(kIdle, *idle == *task);
      }
    }
    if (!task) return;
    rows.set(kTask, task->value);
    if (!fields_.pid.bound() || !fields_.comm.bound()) return;
    const auto pid = fields_.pid.read(memory_, *task);
    auto comm = fields_.comm.read(memory_, *task);
    if (!pid || !comm || *pid < 0) {
      rows.doubt("its current task cannot be read");
      return;
    }
    rows.set(kPid, std::int64_t{*pid});
    rows.set(kName, *std::move(comm));
    if (kernel_.machine().live() && current_.on(cpu) != task)
      rows.doubt("it switched tasks meanwhile");
  }

  void set_info(RowSink& rows, unsigned cpu) {
    if (!rows.wants_any(kApicId, kModel, kVendor, kFamily, kModelNumber, kStepping, kMicrocode,
                        kFlags))
      return;
    auto info = variable("cpu_info", cpu);
    if (!info) info = boot_cpu();
    if (!info) return;
    const auto number = [&](std::size_t column, const auto& field) {
      if (const auto value = field.read(memory_, *info); value && *value)
        rows.set(column, std::int64_t{**value});
    };
    const auto text = [&](std::size_t column, const OptionalField<std::string>& field) {
      if (auto value = field.read(memory_, *info); value && *value)
        rows.set(column, **std::move(value));
    };
    number(kApicId, fields_.apic_id);
    number(kFamily, fields_.family);
    number(kModelNumber, fields_.model_number);
    number(kStepping, fields_.stepping);
    text(kModel, fields_.model);
    text(kVendor, fields_.vendor);
    if (const auto value = fields_.microcode.read(memory_, *info); value && *value) {
      rows.set(kMicrocode, std::uint64_t{**value});
    }
    if (rows.wants(kFlags) && fields_.capabilities.bound()) {
      if (!flag_names_) flag_names_ = flag_names(kernel_, lookup_, fields_.capabilities.count());
      const auto words = fields_.capabilities.read_all(memory_, *info, kMaxFlagWords);
      if (!words || !flag_names_) {
        rows.doubt("its flags cannot be read");
        return;
      }
      std::vector<std::string> flags;
      for (std::size_t i = 0; i < flag_names_->size() && i / 32 < words->size(); ++i) {
        if (((*words)[i / 32] >> (i % 32) & 1) != 0 && !(*flag_names_)[i].empty())
          flags.push_back((*flag_names_)[i]);
      }
      rows.set(kFlags, std::move(flags));
    }
  }

  void set_registers(RowSink& rows, const x86::Registers& registers) {
    rows.set(kRip, registers.rip);
    rows.set(kRsp, registers.gpr[x86::kRsp]);
    rows.set(kCr3, registers.cr3);
    rows.set(kPrivilege, std::int64_t{registers.privilege()});
    rows.set(kHalted, registers.halted);
    if (registers.privilege() == 0 && rows.wants(kRipSymbol)) {
      auto place = lookup_.place(Gva{registers.rip});
      if (!place.symbol.empty()) {
        rows.set(kRipSymbol, place.module.empty()
                                 ? place.symbol
                                 : fmt::format("[{}] {}", place.module, place.symbol));
      }
    }
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  SymbolLookup lookup_;
  CurrentTasks current_;
  std::string missing_;  ///< what is, of the members that tell who runs
  Fields fields_;
  std::optional<std::vector<std::string>> flag_names_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  return std::make_unique<Reader>(kernel);
}

}  // namespace

const View cpus_view(kInfo, open);

}  // namespace vitrine::linux
