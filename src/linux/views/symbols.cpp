#include "linux/kernel.h"
#include "linux/modules.h"
#include "linux/unlisted_symbols.h"
#include "linux/views/all_views.h"

namespace vitrine::linux {
namespace {

enum : std::size_t { kAddress, kType, kName, kModule };

constexpr Column kColumns[] = {
    {"address", ColumnType::address,
     "where it lies as the kernel runs; per-CPU variables until 6.14: their offset"},
    {"type", ColumnType::text,
     "as nm: t text, d data, b bss, r read-only, w weak, a absolute; upper case: global, of "
     "modules: exported"},
    {"name", ColumnType::text, "its name"},
    {"module", ColumnType::text,
     "the module, or bpf, __builtin__ftrace, __builtin__kprobes; absent: the kernel itself"},
};

constexpr ViewInfo kInfo = {
    .name = "symbols",
    .summary = "the symbols of the kernel, its modules and its generated code: /proc/kallsyms",
    .columns = kColumns,
    .order =
        "as /proc/kallsyms: the kernel's by address, then the modules', the newest module first",
    .key = "address name module",
};

class Reader final : public ViewReader {
 public:
  explicit Reader(const Kernel& kernel) : kernel_(kernel) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    const auto give = [&](Gva address, char type, std::string_view name, std::string_view module) {
      rows.begin();
      rows.set(kAddress, address.value);
      if (rows.wants(kType)) rows.set(kType, std::string(1, type));
      if (rows.wants(kName)) rows.set(kName, std::string(name));
      if (!module.empty() && rows.wants(kModule)) rows.set(kModule, std::string(module));
      return rows.end();
    };
    const SymbolTable& symbols = kernel_.symbols();
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const auto symbol = symbols.at(i);
      if (symbol.type == kUnlisted) continue;
      if (!give(symbol.address, symbol.type, symbol.name, {})) return tally;
    }
    auto walk = for_each_module_symbol(kernel_, [&](const ModuleSymbol& symbol) {
      return give(symbol.address, symbol.type, symbol.name, symbol.module);
    });
    if (!walk) {
      // A kernel without modules has said all; one without types has not.
      if (walk.error().code != Errc::not_found) {
        tally.warnings.push_back("the modules' symbols are missing: " + walk.error().message);
      }
      return tally;
    }
    tally.retries = walk->retries;
    tally.truncated = walk->truncated;
    tally.warnings = std::move(walk->warnings);
    return tally;
  }

 private:
  const Kernel& kernel_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  return std::make_unique<Reader>(kernel);
}

}  // namespace

const View symbols_view(kInfo, open);

}  // namespace vitrine::linux
