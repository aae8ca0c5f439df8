#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "linux/kernel.h"
#include "linux/views/all_views.h"
#include "linux/views/symbols_lookup.h"
#include "x86/descriptor.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kVector,
  kName,
  kType,
  kDpl,
  kIst,
  kSelector,
  kHandler,
  kSymbol,
  kModule,
  kExpected,
  kTable,
  kCpus
};

constexpr Column kColumns[] = {
    {"vector", ColumnType::integer, "0 to 255"},
    {"name", ColumnType::text,
     "what the processor itself uses it for: #PF, NMI; absent: the system's choice"},
    {"type", ColumnType::text,
     "interrupt (interrupts are held off) or trap; absent: the gate is not present"},
    {"dpl", ColumnType::integer, "the privilege that `int n` needs: 3 lets programs call it"},
    {"ist", ColumnType::integer, "1 to 7: the stack it switches to; 0: none", Column::hidden},
    {"selector", ColumnType::mask, "code segment of the handler; Linux: 0x10", Column::hidden},
    {"handler", ColumnType::address, "where the processor goes"},
    {"symbol", ColumnType::text, "the handler's name"},
    {"module", ColumnType::text, "the module in whose memory the handler lies; absent: none",
     Column::hidden},
    {"expected", ColumnType::boolean,
     "it leads into the kernel's own text, or is a boot-time gate that nothing replaced; if not, "
     "somebody put it there"},
    {"table", ColumnType::address,
     "the descriptor table, as the kernel's symbol or the CPU's IDTR has it", Column::hidden},
    {"cpus", ColumnType::list,
     "CPUs whose IDTR leads to this table; absent: the machine does not tell", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "interrupts",
    .summary = "the interrupt descriptor tables: where each vector leads",
    .columns = kColumns,
    .order = "by table, the kernel's own first, then by vector",
    .key = "table vector",
};

struct Table {
  Gva address;
  Gpa physical;  ///< two addresses of one page are one table
  unsigned vectors = x86::kVectorCount;
  std::vector<std::string> cpus;
  bool known = false;  ///< it is the kernel's idt_table
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, std::optional<Gva> table) : kernel_(kernel), table_(table) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    SymbolLookup lookup(kernel_);
    auto cpus = kernel_.machine().registers();
    for (const Table& table : TRY(tables(cpus, tally))) {
      std::array<std::byte, x86::kVectorCount * x86::kGateSize> bytes;
      const auto used = MutableBytes(bytes).first(table.vectors * x86::kGateSize);
      if (auto done = kernel_.memory().read(table.address, used); !done) {
        if (table.known) return std::unexpected(Problem(done.error()));
        tally.warnings.push_back(
            fmt::format("the table at {:#x}: {}", table.address.value, describe(done.error())));
        continue;
      }
      for (unsigned vector = 0; vector < table.vectors; ++vector) {
        const auto gate = x86::decode_gate(used.subspan(vector * x86::kGateSize, x86::kGateSize));
        if (!gate) break;
        rows.begin();
        fill(rows, lookup, vector, *gate);
        rows.set(kTable, table.address.value);
        if (cpus && rows.wants(kCpus)) rows.set(kCpus, table.cpus);
        if (!table.known && table_) rows.doubt("not the kernel's own table");
        if (gate->present && gate->reserved_bits) rows.doubt("reserved bits are set");
        if (gate->present && x86::gate_type_name(gate->type).empty())
          rows.doubt("no such type of gate");
        if (!rows.end()) return tally;
      }
    }
    return tally;
  }

  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    if (table_) return {};
    return {{{}, "whether a table is the kernel's own is not known: no symbol idt_table"}};
  }

 private:
  static void fill(RowSink& rows, SymbolLookup& lookup, unsigned vector, const x86::Gate& gate) {
    rows.set(kVector, std::int64_t{vector});
    if (const auto text = x86::exception_name(vector); !text.empty())
      rows.set(kName, std::string(text));
    if (!gate.present) return;
    rows.set(kType, std::string(x86::gate_type_name(gate.type)));
    rows.set(kDpl, std::int64_t{gate.dpl});
    rows.set(kIst, std::int64_t{gate.ist});
    rows.set(kSelector, std::uint64_t{gate.selector});
    rows.set(kHandler, gate.handler.value);
    if (!rows.wants_any(kSymbol, kModule, kExpected)) return;
    auto place = lookup.place(gate.handler);
    // Vectors that the processor reserves keep the gates of early boot, whose code is freed
    // afterwards: idt_setup_early_handler().
    const bool left_over = vector < 32 && place.symbol.starts_with("early_idt_handler_array");
    if (!place.symbol.empty()) rows.set(kSymbol, std::move(place.symbol));
    if (!place.module.empty()) rows.set(kModule, std::move(place.module));
    rows.set(kExpected, place.in_text || left_over);
  }

  /// The kernel's own table, and those that CPUs use instead. The IDTR holds a read-only
  /// alias of idt_table in the CPU entry area, so tables are told apart by where they lie in RAM.
  Result<std::vector<Table>> tables(const Outcome<std::vector<x86::Registers>>& cpus,
                                    Tally& tally) const {
    std::vector<Table> tables;
    if (table_) {
      const auto own = TRY(kernel_.memory().translate(*table_));
      tables.push_back({.address = *table_, .physical = own.address, .known = true});
    }
    if (!cpus) return tables;
    for (std::size_t cpu = 0; cpu < cpus->size(); ++cpu) {
      const auto& idtr = (*cpus)[cpu].idtr;
      if (!(*cpus)[cpu].long_mode() || !idtr.base) continue;  // not started yet
      const auto place = kernel_.memory().translate(idtr.base);
      if (!place) {
        tally.warnings.push_back(fmt::format("the table of cpu {} at {:#x} cannot be found: {}",
                                             cpu, idtr.base.value, describe(place.error())));
        continue;
      }
      const Gpa at = place->address;
      auto table = std::ranges::find_if(tables, [&](const Table& known) {
        return known.address == idtr.base || known.physical == at;
      });
      if (table == tables.end()) {
        const auto vectors = std::min<std::uint64_t>(
            (std::uint64_t{idtr.limit} + 1) / x86::kGateSize, x86::kVectorCount);
        tables.push_back(
            {.address = idtr.base, .physical = at, .vectors = static_cast<unsigned>(vectors)});
        table = std::prev(tables.end());
      }
      table->cpus.push_back(fmt::format("{}", cpu));
    }
    return tables;
  }

  const Kernel& kernel_;
  std::optional<Gva> table_;  // nothing: kallsyms has no data, what CPUs use is all that is known
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto table = kernel.symbol("idt_table");
  if (!table && (kernel.lists_data() || !kernel.machine().registers()))
    return std::unexpected(std::move(table).error());
  return std::make_unique<Reader>(kernel, table ? std::optional(*table) : std::nullopt);
}

}  // namespace

const View interrupts_view(kInfo, open);

}  // namespace vitrine::linux
