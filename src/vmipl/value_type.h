// ValueType: what a value is while a script runs, and so how it is printed and compared.
#pragma once

#include <cstdint>
#include <string_view>

namespace vitrine::vmipl {

/// The catalogue says it of fields and values of the moment, a program of its maps, operands and
/// columns. What the checker knows of an expression is more: see Type in types.h.
enum class ValueType : std::uint8_t {
  boolean,
  integer,   ///< 64 bits, signed
  word,      ///< 64 bits, unsigned
  address,   ///< 64 bits, in hexadecimal
  text,      ///< the guest's bytes, escaped where they are printed
  bytes,     ///< likewise, and in hexadecimal in JSON
  duration,  ///< ns
  time,      ///< ns since 1970 UTC
  list,      ///< texts
  stack,     ///< frames, a line each
};
/// "unsigned", "text": for documents and listings. "?" for a number that is none of them.
[[nodiscard]] std::string_view name(ValueType type) noexcept;
/// Lives in a text register; the others in a number register.
[[nodiscard]] constexpr bool is_textual(ValueType type) noexcept {
  return type == ValueType::text || type == ValueType::bytes || type == ValueType::list ||
         type == ValueType::stack;
}

}  // namespace vitrine::vmipl
