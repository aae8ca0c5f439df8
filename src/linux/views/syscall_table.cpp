#include <fmt/core.h>

#include <array>
#include <optional>

#include "base/bytes.h"
#include "linux/kernel.h"
#include "linux/kernel_code.h"
#include "linux/unlisted_symbols.h"
#include "linux/views/all_views.h"
#include "linux/views/symbols_lookup.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kAbi,
  kNumber,
  kName,
  kImplemented,
  kHandler,
  kSymbol,
  kModule,
  kExpected,
  kOwner,
  kHandlerOfCall
};

constexpr Column kColumns[] = {
    {"abi", ColumnType::text, "64, ia32 or x32: who calls through this table"},
    {"number", ColumnType::integer, "of the system call"},
    {"name", ColumnType::text,
     "from its handler's name: openat for __x64_sys_openat; absent: not implemented, or unknown"},
    {"implemented", ColumnType::boolean,
     "false for sys_ni_syscall and for calls that this kernel was built without"},
    {"handler", ColumnType::address, "where the entry leads"},
    {"symbol", ColumnType::text, "the handler's name"},
    {"module", ColumnType::text, "the module in whose memory the handler lies; absent: none",
     Column::hidden},
    {"expected", ColumnType::boolean,
     "it leads into the kernel's own text; if not, somebody put it there"},
    {"owner", ColumnType::text, "whose code is there: kernel, module NAME, bpf ..., unknown",
     Column::hidden},
    {"handler_of_call", ColumnType::boolean,
     "what is there is a system call's handler by its name (or the one of calls that are not "
     "implemented)",
     Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "syscall_table",
    .summary =
        "the system call tables; from 6.9 (and its stable backports) only tracing reads them: "
        "calls go through x64_sys_call",
    .columns = kColumns,
    .order = "abi 64, ia32, x32; then by number",
    .key = "abi number",
};

constexpr std::uint64_t kMaxEntries = 2048;

/// The tables there may be. From 6.9 on, 6.8.5 and 6.6.26 (commit 1e3ad78334a6), only the first.
struct Table {
  const char* symbol;
  const char* abi;
  std::array<std::string_view, 3> prefixes;  // of its handlers, best first
};
constexpr Table kTables[] = {
    {"sys_call_table", "64", {"__x64_sys_", "__x64_compat_sys_", "sys_"}},
    {"ia32_sys_call_table", "ia32", {"__ia32_compat_sys_", "__ia32_sys_", "sys_"}},
    {"x32_sys_call_table", "x32", {"__x32_compat_sys_", "__x64_compat_sys_", "__x64_sys_"}},
};

struct Handler {
  std::optional<std::string> name;
  std::string symbol;
  bool implemented = true;
};

/// One address has several names (__ia32_sys_getpid is __x64_sys_getpid): the table's own is meant.
Handler handler_at(const SymbolLookup& lookup, const Table& table, Gva address) {
  const auto symbols = lookup.at(address);
  for (const auto prefix : table.prefixes) {
    for (const auto& symbol : symbols) {
      if (!symbol.name.starts_with(prefix)) continue;
      const auto name = symbol.name.substr(prefix.size());
      // What the kernel was built without is a weak stub of its own (COND_SYSCALL).
      const bool stub = symbol.type == 'W' || symbol.type == 'w';
      if (name == "ni_syscall") return {std::nullopt, std::string(symbol.name), false};
      return {std::string(name), std::string(symbol.name), !stub};
    }
  }
  return {std::nullopt, symbols.empty() ? std::string() : std::string(symbols.front().name), true};
}

class Reader final : public ViewReader {
 public:
  explicit Reader(const Kernel& kernel) : kernel_(kernel) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    code_.reset();
    SymbolLookup lookup(kernel_);
    for (const Table& table : kTables) {
      const auto start = kernel_.symbols().find(table.symbol);
      if (!start) continue;
      const bool unlisted = is_unlisted(*start);
      auto size = lookup.room(table.symbol).value_or(0) / 8;
      if (size > kMaxEntries) {
        tally.truncated = !unlisted;  // whose end is told by what stands there
        size = kMaxEntries;
      }
      std::vector<std::byte> bytes(size * 8);
      if (auto done = kernel_.memory().read(*start, bytes); !done) {
        tally.warnings.push_back(fmt::format("{}: {}", table.symbol, describe(done.error())));
        continue;
      }
      const auto entry = [&](std::uint64_t number) {
        return Gva{load<std::uint64_t>(bytes, number * 8).value_or(0)};
      };
      while (size > 0 && !entry(size - 1)) --size;  // what pads it up to the next symbol
      if (unlisted) size = length_by_handlers(lookup, table, bytes);
      for (std::uint64_t number = 0; number < size; ++number) {
        rows.begin();
        rows.set(kAbi, std::string(table.abi));
        rows.set(kNumber, static_cast<std::int64_t>(number));
        if (!entry(number)) {
          rows.doubt("an empty entry");
        } else {
          fill(rows, lookup, table, entry(number));
        }
        if (!rows.end()) return tally;
      }
    }
    return tally;
  }

 private:
  void fill(RowSink& rows, SymbolLookup& lookup, const Table& table, Gva address) {
    rows.set(kHandler, address.value);
    auto handler = handler_at(lookup, table, address);
    auto place = lookup.place(address);
    if (handler.symbol.empty()) handler.symbol = place.symbol;
    rows.set(kHandlerOfCall, handler.name.has_value() || !handler.implemented);
    if (rows.wants(kOwner))
      rows.set(kOwner, place.in_text ? std::string("kernel") : owner_of(address));
    if (handler.name) rows.set(kName, *handler.name);
    rows.set(kImplemented, handler.implemented);
    if (!handler.symbol.empty()) rows.set(kSymbol, std::move(handler.symbol));
    if (!place.module.empty()) rows.set(kModule, std::move(place.module));
    rows.set(kExpected, place.in_text);
  }

  /// Was it found by what stands there? Then no symbol tells where it ends.
  [[nodiscard]] bool is_unlisted(Gva start) const {
    const auto symbol = kernel_.symbols().nearest(start, 1);
    return symbol && symbol->type == kUnlisted;
  }

  /// How many entries there are up to the last handler of a call. An entry that was changed has
  /// handlers after it; what follows the table has none.
  static std::uint64_t length_by_handlers(const SymbolLookup& lookup, const Table& table,
                                          Bytes bytes) {
    constexpr std::uint64_t kMostChanged = 16;  // in a row
    std::uint64_t length = 0;
    for (std::uint64_t i = 0; i < bytes.size() / 8 && i - length <= kMostChanged; ++i) {
      const auto handler =
          handler_at(lookup, table, Gva{load<std::uint64_t>(bytes, i * 8).value_or(0)});
      if (handler.name || !handler.implemented) length = i + 1;
    }
    return length;
  }

  /// All code is only looked for where an entry leads out of the kernel's.
  std::string owner_of(Gva address) {
    if (!code_) {
      auto code = KernelCode::read(kernel_);
      if (!code) return "unknown";
      code_ = *std::move(code);
    }
    return code_->where(address).text;
  }

  const Kernel& kernel_;
  std::optional<KernelCode> code_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  TRY(kernel.symbol("sys_call_table"));
  return std::make_unique<Reader>(kernel);
}

}  // namespace

const View syscall_table_view(kInfo, open);

}  // namespace vitrine::linux
