// Builds kallsyms tables as scripts/kallsyms does, in every layout, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/kallsyms.h"

namespace vitrine::test {

struct BuiltSymbol {
  std::uint64_t address;
  char type;
  std::string name;
};

enum class KallsymsOrder { to_4_19, to_6_3, from_6_2_with_seqs, from_6_4, from_7 };

struct BuiltKallsyms {
  std::vector<std::byte> bytes;
  std::uint64_t tokens = 0;  ///< where the token table stands
};

/// `symbols` sorted by address. `start` is the address of the first byte of the result.
/// With `percpu`, addresses below 2^31 are told as absolute ones.
BuiltKallsyms build_kallsyms(const std::vector<BuiltSymbol>& symbols, KallsymsOrder order,
                             format::KallsymsAddresses form, std::uint64_t base,
                             std::uint64_t start);

/// `count` symbols from `text` on, with every digit in their names: enough for markers.
std::vector<BuiltSymbol> make_symbols(std::size_t count, std::uint64_t text);

}  // namespace vitrine::test
