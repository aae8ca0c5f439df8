// vitrine sym: a name's address, an address's name.
#include <fmt/core.h>

#include "cli/address_words.h"
#include "cli/commands/families.h"
#include "cli/fixed_view.h"
#include "cli/session.h"
#include "cli/symbol_words.h"
#include "vmipl/catalogue.h"

namespace vitrine::cli {
namespace {

using linux::Column;
using linux::ColumnType;

enum : std::size_t { kAddress, kType, kName, kOffset, kModule };

constexpr Column kColumns[] = {
    {"address", ColumnType::address, "where the symbol lies; of an address, that address itself"},
    {"type", ColumnType::text,
     "as nm prints it: t and T text, d and D data, b and B zeroed data, r and R read-only"},
    {"name", ColumnType::text, "the symbol"},
    {"offset", ColumnType::address, "how far the address asked for lies beyond the symbol"},
    {"module", ColumnType::text, "the module it belongs to; none for the kernel itself"},
};
constexpr linux::ViewInfo kInfo = {"symbols", "symbols of one name, or around one address",
                                   kColumns, "by address", "address name"};

void add(linux::RowSink& rows, const linux::Symbol& symbol, std::uint64_t offset) {
  rows.begin();
  rows.set(kAddress, symbol.address.value + offset);
  rows.set(kType, std::string(1, symbol.type));
  rows.set(kName, std::string(symbol.name));
  rows.set(kOffset, offset);
  if (!symbol.module.empty()) rows.set(kModule, std::string(symbol.module));
  static_cast<void>(rows.end());
}

Outcome<std::vector<std::pair<linux::Symbol, std::uint64_t>>> look_up(const Guest& guest,
                                                                      std::string_view word) {
  std::vector<std::pair<linux::Symbol, std::uint64_t>> found;
  if (word.find_first_of("*?") != std::string_view::npos) {
    for (const auto* table : {&guest.symbols(), &guest.module_symbols()}) {
      for (std::size_t i = 0; i < table->size(); ++i) {
        if (auto symbol = table->at(i); vmipl::glob_matches(word, symbol.name))
          found.emplace_back(std::move(symbol), 0);
      }
    }
    if (!found.empty()) return found;
    return std::unexpected(Problem(Errc::not_found,
                                   fmt::format("no symbol of this kernel fits \"{}\"", word),
                                   "all symbols: vitrine show symbols"));
  }
  for (const auto* table : {&guest.symbols(), &guest.module_symbols()}) {
    for (const auto& symbol : table->all(word)) found.emplace_back(symbol, 0);
  }
  if (!found.empty()) return found;
  const Gva address{
      TRY(parse_address(word, [&](std::string_view name) { return find_symbol(guest, name); }))};
  auto nearest = guest.symbols().nearest(address);
  if (const auto other = guest.module_symbols().nearest(address);
      other && (!nearest || other->address > nearest->address)) {
    nearest = other;
  }
  if (!nearest) {
    return std::unexpected(
        Problem(Errc::not_found, fmt::format("no symbol lies at or near {:#x}", address.value),
                "is it an address of the kernel? those of its data on the heap have no name"));
  }
  found.emplace_back(*nearest, address - nearest->address);
  return found;
}

Outcome<Status> run(Context& context, const Arguments& words) {
  TRY(plan(kInfo, {}, words));  // the words first, the machine after
  const auto session = TRY(Session::open(context, words));
  const auto found = look_up(session.guest(), words.operands.front());
  if (!found) return std::unexpected(explain(found.error(), session));
  TRY(run_fixed_view(kInfo, context, words, [&](linux::RowSink& rows) -> Outcome<void> {
    for (const auto& [symbol, offset] : *found) add(rows, symbol, offset);
    return {};
  }));
  return session.status();
}

}  // namespace

Command sym_command() {
  auto options = fixed_view_options();
  options.push_back({"--no-cache", "", "recover the kernel's symbols and types anew"});
  return {
      .name = "sym",
      .group = "Kernel",
      .summary = "a symbol's address, an address's symbol",
      .operands = {{"VM", Words::machine}, {"NAME|ADDRESS", Words::symbol}},
      .options = std::move(options),
      .description =
          "NAME may be a pattern of * and ?, or symbol+offset. Of an address, the nearest symbol "
          "below it is shown.",
      .examples = {"vitrine sym web1 do_exit", "vitrine sym web1 0xffffffff810a1234",
                   "vitrine sym web1 'tcp_*_send'"},
      .run = run};
}

}  // namespace vitrine::cli
