// What stands in a structure of the guest: all its members, by the guest's own types.
#pragma once

#include <string>
#include <vector>

#include "base/problem.h"
#include "linux/field_value.h"
#include "linux/type_catalogue.h"
#include "linux/type_path.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// A value with what is in it: a tree.
struct ObjectValue {
  enum class Form : std::uint8_t { scalar, compound, array, unreadable };

  std::string name;  ///< of the member; empty for the whole and for elements
  btf::Type type;    ///< as declared
  Form form = Form::scalar;
  FieldValue value;                ///< of a scalar; text and bytes are scalars, too
  std::vector<ObjectValue> parts;  ///< members, or elements
  std::uint64_t left_out = 0;      ///< elements (of bytes: bytes) that there are beyond
};

/// How much of a large array is read.
inline constexpr std::uint64_t kMostElements = 16, kMostBytes = 64;

/// Where `path` leads from the object at `object`, and all that stands there. Members of anonymous
/// structs and unions stand among those of what holds them; bit fields and flexible arrays (of
/// which nothing is read) are members like others. What cannot be read is marked, each by itself.
/// @param at  out: where that is
/// @returns unsupported  it has no size: a function, void, a type that is only declared
/// @returns too_large    more than 1 MiB, or more than 2^17 values
/// Errors as Route::follow(), and as VirtualMemory::read() where nothing of it can be read.
[[nodiscard]] Outcome<ObjectValue> read_object(const VirtualMemory& memory,
                                               const TypeCatalogue& types, const MemberPath& path,
                                               Gva object, Gva& at);

}  // namespace vitrine::linux
