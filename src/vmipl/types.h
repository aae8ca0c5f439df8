// Static types of the language.
#pragma once

#include <cstdint>
#include <string>

#include "vmipl/catalogue.h"
#include "vmipl/ports.h"
#include "vmipl/program.h"

namespace vitrine::vmipl {

enum class TypeKind : std::uint8_t {
  error,    ///< a mistake was told: whatever follows from it is silent
  unknown,  ///< depends on a guest that is not there
  nothing,  ///< actions
  boolean,
  integer,
  text,
  bytes,
  duration,
  time,
  address,
  pointer,    ///< typed; to `guest` if has_guest, else to something unknown
  structure,  ///< a place in the guest
  array,      ///< a place in the guest; of characters: text
  row,
  list,
  stack,
  aggregation,  ///< count() ...: only to be assigned to a map
  output,
  group /* process, thread, syscall, event, reg */,
  map,
  pattern /* MAC, * */,
};

struct Type {
  TypeKind kind = TypeKind::error;
  std::uint8_t bits = 64;  ///< integers: what values can occur
  bool is_signed = true;
  bool has_guest = false;
  GuestType guest{};  ///< pointer: what it points to; structure, array: itself

  [[nodiscard]] bool is(TypeKind other) const { return kind == other; }
  /// error or unknown: nothing can be held against it.
  [[nodiscard]] bool open() const { return kind == TypeKind::error || kind == TypeKind::unknown; }
  [[nodiscard]] bool textual() const {
    return kind == TypeKind::text || kind == TypeKind::bytes || kind == TypeKind::list ||
           kind == TypeKind::stack;
  }
  /// Lives in a number register.
  [[nodiscard]] bool numeric() const {
    return kind == TypeKind::boolean || kind == TypeKind::integer || kind == TypeKind::duration ||
           kind == TypeKind::time || kind == TypeKind::address || kind == TypeKind::pointer ||
           open();
  }
};

[[nodiscard]] constexpr Type type_of(TypeKind kind) {
  return Type{.kind = kind, .is_signed = kind != TypeKind::address && kind != TypeKind::pointer};
}
[[nodiscard]] Type type_of(ValueType type);
[[nodiscard]] Type type_of(ColumnKind kind);
[[nodiscard]] ValueType value_type(const Type& type);
/// "a number", "text", "a pointer": for messages.
[[nodiscard]] std::string_view describe(TypeKind kind) noexcept;

}  // namespace vitrine::vmipl
