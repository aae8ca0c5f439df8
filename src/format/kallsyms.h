// kallsyms: the kernel's own symbol table, as scripts/kallsyms lays it into .rodata.
//
// Names are compressed: each is a length and that many token numbers; 256 tokens
// expand to text. The order of the tables and the form of the addresses changed:
//
//   to 4.19    as to 6.3, the markers and the count 64 bits wide
//   to 6.3     addresses | names | markers | [seqs, 6.2] | tokens | token index
//   from 6.4   names | markers | tokens | token index | addresses | seqs
//   7.x        as 6.4, each address relative to its own place, no common base
//
// Nothing announces the tables; they are recognised by what they must satisfy. The
// token table is found by its digits, everything else by its relation to that, and
// every marker is checked against the names it points into.
// Source: scripts/kallsyms.c; commits 404bad70fcf7 (6.4 order), 73bbb94466fd (6.1,
// two-byte lengths), 60443c88f3a8 (6.2, seqs); the 7.x form as seen in 7.3.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::format {

/// How an address is told from an entry of the address table.
enum class KallsymsAddresses : std::uint8_t {
  absolute,       ///< 64-bit addresses
  based,          ///< 32-bit offsets from a base
  based_percpu,   ///< as `based`, but entries >= 0 are absolute (per-CPU), others count down from
                  ///< base - 1
  self_relative,  ///< 32-bit signed offsets from the entry's own address
};

/// Where the tables lie in the bytes they were found in.
struct KallsymsLayout {
  std::uint64_t names = 0;
  std::uint64_t names_size = 0;
  std::uint64_t markers = 0;
  std::uint64_t tokens = 0;
  std::uint64_t token_index = 0;
  std::uint64_t addresses = 0;
  std::uint64_t addresses_size = 0;
  std::uint32_t count = 0;  ///< symbols
  KallsymsAddresses form = KallsymsAddresses::based;
  std::uint64_t base = 0;  ///< kallsyms_relative_base as it stands in memory; 0 if there is none
};

inline constexpr std::uint32_t kKallsymsMaxCount = 4'000'000;

/// Where token tables stand: 256 texts in a row, and after them their index. The whole
/// table and index (at most 128 KiB) must be in `bytes`.
/// Cost: one pass, a few instructions for 8 bytes.
[[nodiscard]] std::vector<std::uint64_t> find_token_tables(Bytes bytes);

/// What parse_kallsyms() may spend, in names: tables can be forged so that all memory looks like
/// them.
inline constexpr std::uint64_t kKallsymsWork = 1'000'000'000;

/// Finds all tables around the token table at `tokens` and checks that they agree.
/// `bytes` should reach some MiB to both sides; too few bytes is not_found or malformed.
///
/// @param work  what was spent is taken off; with none left nothing is found
/// @param turn  called each few hundred microseconds: who must not be away for long looks up
/// @returns not_found  no token table, or nothing before it that satisfies the names' rules
/// @returns malformed  names are there, but no address table
/// Cost: a pass over the names; nothing is allocated.
[[nodiscard]] Result<KallsymsLayout> parse_kallsyms(
    Bytes bytes, std::uint64_t tokens, std::uint64_t& work,
    const std::function<void()>& turn = [] {});

/// Calls `visit(address, type, name)` for each symbol in the table's order. `name` lives
/// during the call. `bytes` and `layout` as in parse_kallsyms(); `bytes_address` is the
/// address of the first byte, for tables that are relative to themselves.
/// @returns malformed, out_of_bounds, too_large  the bytes changed since they were parsed, or the
///   names are no kernel's: longer than 1,024 characters, or 256 MiB together
[[nodiscard]] Result<void> for_each_symbol(
    Bytes bytes, const KallsymsLayout& layout, std::uint64_t bytes_address,
    const std::function<void(std::uint64_t address, char type, std::string_view name)>& visit);

}  // namespace vitrine::format
