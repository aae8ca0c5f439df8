// What types there are, in words and in the program's.
#include "vmipl/types.h"

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

Type type_of(ValueType type) {
  switch (type) {
    case ValueType::boolean:
      return type_of(TypeKind::boolean);
    case ValueType::integer:
      return type_of(TypeKind::integer);
    case ValueType::word:
      return Type{.kind = TypeKind::integer, .is_signed = false};
    case ValueType::address:
      return type_of(TypeKind::address);
    case ValueType::text:
      return type_of(TypeKind::text);
    case ValueType::bytes:
      return type_of(TypeKind::bytes);
    case ValueType::duration:
      return type_of(TypeKind::duration);
    case ValueType::time:
      return type_of(TypeKind::time);
    case ValueType::list:
      return type_of(TypeKind::list);
    case ValueType::stack:
      return type_of(TypeKind::stack);
  }
  return {};
}

Type type_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::boolean:
      return type_of(TypeKind::boolean);
    case ColumnKind::integer:
    case ColumnKind::size:
      return type_of(TypeKind::integer);
    case ColumnKind::address:
      return type_of(TypeKind::address);
    case ColumnKind::mask:
      return Type{.kind = TypeKind::integer, .is_signed = false};
    case ColumnKind::duration:
      return type_of(TypeKind::duration);
    case ColumnKind::time:
      return type_of(TypeKind::time);
    case ColumnKind::text:
      return type_of(TypeKind::text);
    case ColumnKind::list:
      return type_of(TypeKind::list);
  }
  return {};
}

ValueType value_type(const Type& type) {
  switch (type.kind) {
    case TypeKind::boolean:
      return ValueType::boolean;
    case TypeKind::text:
      return ValueType::text;
    case TypeKind::bytes:
      return ValueType::bytes;
    case TypeKind::duration:
      return ValueType::duration;
    case TypeKind::time:
      return ValueType::time;
    case TypeKind::address:
    case TypeKind::pointer:
      return ValueType::address;
    case TypeKind::list:
      return ValueType::list;
    case TypeKind::stack:
      return ValueType::stack;
    default:
      return type.is_signed ? ValueType::integer : ValueType::word;
  }
}

std::string_view describe(TypeKind kind) noexcept {
  switch (kind) {
    case TypeKind::error:
    case TypeKind::unknown:
      return "something unknown";
    case TypeKind::nothing:
      return "nothing";
    case TypeKind::boolean:
      return "a bool";
    case TypeKind::integer:
      return "a number";
    case TypeKind::text:
      return "text";
    case TypeKind::bytes:
      return "bytes";
    case TypeKind::duration:
      return "a duration";
    case TypeKind::time:
      return "a time";
    case TypeKind::address:
      return "an address";
    case TypeKind::pointer:
      return "a pointer";
    case TypeKind::structure:
      return "a structure";
    case TypeKind::array:
      return "an array";
    case TypeKind::row:
      return "a row";
    case TypeKind::list:
      return "a list";
    case TypeKind::stack:
      return "a stack";
    case TypeKind::aggregation:
      return "an aggregation";
    case TypeKind::output:
      return "an output";
    case TypeKind::group:
      return "a group of values";
    case TypeKind::map:
      return "a map";
    case TypeKind::pattern:
      return "a pattern";
  }
  return "something";
}

}  // namespace vitrine::vmipl
