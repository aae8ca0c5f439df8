#include "vmipl/value_type.h"

#include <iterator>

namespace vitrine::vmipl {

std::string_view name(ValueType type) noexcept {
  constexpr std::string_view kNames[] = {"bool",  "integer",  "unsigned", "address", "text",
                                         "bytes", "duration", "time",     "list",    "stack"};
  const auto index = static_cast<std::size_t>(type);
  return index < std::size(kNames) ? kNames[index] : "?";
}

}  // namespace vitrine::vmipl
