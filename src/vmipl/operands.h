// What the sides of an operator are. Internal to compile_operators.cpp and compile_comparisons.cpp.
#pragma once

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

inline bool addresslike(const Type& type) {
  return type.is(TypeKind::address) || type.is(TypeKind::pointer);
}
inline bool wordlike(const Type& type) { return type.is(TypeKind::integer) || addresslike(type); }
inline std::int64_t as_signed(std::uint64_t value) { return static_cast<std::int64_t>(value); }

/// The sign with which a value takes part: a number as written takes the other side's.
inline bool flexible(const Value& value) {
  return value.constant && !value.typed && value.type.is(TypeKind::integer) &&
         value.number <= INT64_MAX;
}

}  // namespace vitrine::vmipl
