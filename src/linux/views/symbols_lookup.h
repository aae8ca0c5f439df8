// What an address of code is called, for views that show where the kernel's tables lead.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "linux/kernel.h"
#include "linux/modules.h"
#include "linux/symbols.h"

namespace vitrine::linux {

/// Where an address lies.
struct CodePlace {
  std::string symbol;    ///< "asm_exc_page_fault", "do_exit+0x12"; empty: nothing is known there
  std::string module;    ///< whose memory holds it; empty: the kernel's, or nobody's
  bool in_text = false;  ///< within the kernel's own text, _stext to _etext
};

class SymbolLookup {
 public:
  /// `kernel` must outlive this.
  explicit SymbolLookup(const Kernel& kernel);

  /// Cost: two searches; for an address outside the kernel's image, at the first time, a
  /// reading of the modules.
  [[nodiscard]] CodePlace place(Gva address);

  /// The kernel's own symbols at exactly that address, in the order of kallsyms.
  [[nodiscard]] std::vector<Symbol> at(Gva address) const;

  /// Bytes from a symbol of that name to the next symbol: what a table may fill.
  [[nodiscard]] std::optional<std::uint64_t> room(std::string_view name) const;

 private:
  const Kernel& kernel_;
  Gva text_start_, text_end_, image_start_, image_end_;
  std::optional<std::vector<Module>> modules_;
};

}  // namespace vitrine::linux
