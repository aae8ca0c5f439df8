// Values of any type, read along paths that are known only at run time: for
// `vitrine type`, for the language, for whoever does not know the field beforehand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/result.h"
#include "linux/type_path.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// An enumeration's value, by name where it has one.
struct EnumValue {
  std::int64_t value = 0;
  std::string_view name;  ///< lives as long as the catalogue; empty: no enumerator has this value
  bool operator==(const EnumValue&) const = default;
};

/// By the type of what was read: _Bool; signed and unsigned integers, bit fields too (of
/// 128 bits: bytes); pointers; enumerations; arrays of char (up to the NUL); all else
/// (structs, unions, other arrays, floating point): bytes.
using FieldValue = std::variant<bool, std::int64_t, std::uint64_t, Gva, EnumValue, std::string,
                                std::vector<std::byte>>;

inline constexpr std::uint64_t kMaxFieldValue = 64 * 1024;  ///< bytes

/// Reads what `path` leads to in the object at `object`.
/// @returns not_found    a pointer on the way is null; `address` is where that pointer lies
/// @returns unsupported  what the path leads to has no size: a flexible array, a function
/// @returns too_large    more than kMaxFieldValue bytes
/// Errors as VirtualMemory::read, with the address that was read.
[[nodiscard]] Result<FieldValue> read_value(const VirtualMemory& memory, Gva object,
                                            const MemberPath& path);

/// The value of a `type` that lies at the start of `bytes`; of a bit field: of `bit_width`
/// bits from bit `bit_shift` on.
/// @returns out_of_bounds  `bytes` is too short. Else as read_value().
[[nodiscard]] Result<FieldValue> decode_value(const btf::Type& type, Bytes bytes,
                                              unsigned bit_shift = 0, unsigned bit_width = 0);

/// "-7", "4096", "0xffff888003a1c000", "PIDTYPE_TGID (1)", "\"bash\"", "61 62 00". Characters that
/// are not printable ASCII are escaped.
[[nodiscard]] std::string to_text(const FieldValue& value);

}  // namespace vitrine::linux
