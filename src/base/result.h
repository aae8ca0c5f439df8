// Result<T>: the value, or why there is none.
//
// Guest bytes are hostile, so failing is ordinary here: no exception and no
// assertion is ever raised on them. An Error is three words that cost nothing to
// make; the outer floors turn it into sentences (base/problem.h).
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>
#include <utility>

namespace vitrine {

enum class Errc : std::uint8_t {
  not_found,      ///< no such name, symbol, type, member, machine
  not_present,    ///< a page-table entry's P bit is 0: swapped out, never mapped, or torn
  not_canonical,  ///< a virtual address whose upper bits are not all equal
  outside_ram,    ///< a physical address in a hole of the memory map, in ROM or MMIO
  out_of_bounds,  ///< a length or offset that leaves its table
  malformed,      ///< bytes that break the rules of their format
  implausible,    ///< well-formed, but no kernel would say so (a pid of -7)
  cycle,          ///< a list or tree that leads back into itself
  too_large,      ///< more than a bounded walk or buffer takes
  torn,           ///< changed while it was read, more often than we retry
  unsupported,    ///< known, but not served here
  denied,         ///< the operating system refused: permission
  vanished,       ///< the machine, process or file went away while in use
  io,             ///< a system call failed for another reason
  timeout,        ///< no answer in the time allowed
  protocol,       ///< the other side answered nonsense
  invalid,        ///< the caller's own words: a bad option, an unknown column
};

/// The code's name as it stands above: "not_present". Static storage.
[[nodiscard]] std::string_view name(Errc code) noexcept;

/// What went wrong, where. `address` is the guest (or file) address at which it
/// went wrong, 0 where none applies; `what` is a literal: a field, a table, a rule.
struct Error {
  Errc code = Errc::invalid;
  std::uint64_t address = 0;
  const char* what = "";
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] constexpr std::unexpected<Error> fail(Errc code, std::uint64_t address = 0,
                                                    const char* what = "") noexcept {
  return std::unexpected(Error{code, address, what});
}

}  // namespace vitrine

/// The value of a Result, or an early return of its error from the function around it.
#define TRY(expression)                                                                 \
  __extension__({                                                                       \
    auto&& vitrine_try = (expression);                                                  \
    if (!vitrine_try) [[unlikely]]                                                      \
      return std::unexpected(std::forward<decltype(vitrine_try)>(vitrine_try).error()); \
    *std::forward<decltype(vitrine_try)>(vitrine_try);                                  \
  })
