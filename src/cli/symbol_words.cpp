#include "cli/symbol_words.h"

#include <fmt/core.h>

#include "cli/nearest.h"

namespace vitrine::cli {

Outcome<Gva> find_symbol(const Guest& guest, std::string_view name) {
  if (const auto at = guest.symbols().find(name)) return *at;
  if (const auto at = guest.module_symbols().find(name)) return *at;
  auto similar = guest.symbols().similar(name);
  if (similar.empty()) similar = guest.module_symbols().similar(name);
  const std::vector<std::string_view> words(similar.begin(), similar.end());
  auto message = fmt::format("this kernel has no symbol \"{}\"", name);
  if (!words.empty()) message += fmt::format("; did you mean {}?", enumerate(words, "or"));
  return std::unexpected(
      Problem(Errc::not_found, std::move(message), "all symbols: vitrine show symbols"));
}

}  // namespace vitrine::cli
