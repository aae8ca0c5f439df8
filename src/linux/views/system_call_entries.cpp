#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "linux/kernel.h"
#include "linux/views/all_views.h"
#include "linux/views/symbols_lookup.h"
#include "machine/entry_registers.h"

namespace vitrine::linux {
namespace {

enum : std::size_t { kCpu, kRegister, kUsedBy, kAddress, kSymbol, kModule, kExpected };

constexpr Column kColumns[] = {
    {"cpu", ColumnType::integer, "as QEMU numbers them"},
    {"register", ColumnType::text, "LSTAR, CSTAR or SYSENTER_EIP, a model-specific register"},
    {"used_by", ColumnType::text, "the instruction of programs that goes through it"},
    {"address", ColumnType::address, "where the processor goes; absent: the call is refused"},
    {"symbol", ColumnType::text, "what lies there"},
    {"module", ColumnType::text, "the module in whose memory it lies; absent: none"},
    {"expected", ColumnType::boolean,
     "it is the kernel's own entry for that instruction, to the byte"},
};

constexpr ViewInfo kInfo = {
    .name = "system_call_entries",
    .summary = "where each CPU enters the kernel for system calls (LSTAR, CSTAR, SYSENTER)",
    .columns = kColumns,
    .order = "by CPU, then by register",
    .key = "cpu register",
};

// syscall_init() in arch/x86/kernel/cpu/common.c: __USER32_CS << 48 | __KERNEL_CS << 32.
constexpr std::uint64_t kStar = 0x0023'0010'0000'0000;

struct Entry {
  std::string_view name, used_by;
  Gva EntryRegisters::* address;
  std::array<std::string_view, 4> symbols;  ///< of all kernels, the kernel's own are looked for
};

// Without 32-bit programs CSTAR leads to what refuses them, and SYSENTER_EIP is 0.
constexpr std::array<Entry, 3> kEntries{{
    {"LSTAR",
     "syscall, of 64-bit programs",
     &EntryRegisters::lstar,
     {"entry_SYSCALL_64", "xen_entry_SYSCALL_64"}},
    {"CSTAR",
     "syscall, of 32-bit programs",
     &EntryRegisters::cstar,
     {"entry_SYSCALL_compat", "xen_entry_SYSCALL_compat", "ignore_sysret",
      "entry_SYSCALL32_ignore"}},
    {"SYSENTER_EIP",
     "sysenter, of 32-bit programs",
     &EntryRegisters::sysenter_eip,
     {"entry_SYSENTER_compat", "xen_entry_SYSENTER_compat"}},
}};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, EntryRegisterReader registers)
      : kernel_(kernel), registers_(std::move(registers)) {}

  Outcome<Tally> read(RowSink& rows) override {
    SymbolLookup lookup(kernel_);
    const auto cpus = TRY(registers_.read(kStar));
    for (std::size_t cpu = 0; cpu < cpus.size(); ++cpu) {
      if (!cpus[cpu].lstar) continue;  // never started
      for (const auto& entry : kEntries) {
        rows.begin();
        rows.set(kCpu, static_cast<std::int64_t>(cpu));
        rows.set(kRegister, std::string(entry.name));
        rows.set(kUsedBy, std::string(entry.used_by));
        fill(rows, lookup, entry, cpus[cpu].*entry.address);
        if (!rows.end()) return Tally{};
      }
    }
    return Tally{};
  }

 private:
  void fill(RowSink& rows, SymbolLookup& lookup, const Entry& entry, Gva address) const {
    if (!address) return rows.set(kExpected, entry.address != &EntryRegisters::lstar);
    rows.set(kAddress, address.value);
    auto place = lookup.place(address);
    rows.set(kExpected, std::ranges::any_of(entry.symbols, [&](std::string_view name) {
               return !name.empty() && kernel_.symbols().find(name) == address;
             }));
    if (!place.symbol.empty()) rows.set(kSymbol, std::move(place.symbol));
    if (!place.module.empty()) rows.set(kModule, std::move(place.module));
  }

  const Kernel& kernel_;
  EntryRegisterReader registers_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto registers = TRY(EntryRegisterReader::open(kernel.machine()));
  // What never will be told is refused at once; a monitor that is busy now may not be later.
  const auto told = registers.read(kStar);
  if (!told && told.error().code == Errc::unsupported) return std::unexpected(told.error());
  return std::make_unique<Reader>(kernel, std::move(registers));
}

}  // namespace

const View system_call_entries_view(kInfo, open);

}  // namespace vitrine::linux
