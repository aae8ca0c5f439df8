// From what was read of a task to a row's values.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/address.h"
#include "base/result.h"
#include "linux/view.h"

namespace vitrine::linux {

/// What could not be read, or is not there, is Missing.
template <class T>
  requires std::integral<T> && (!std::same_as<T, bool>)
[[nodiscard]] Value integer_value(const Result<T>& read) {
  if (!read) return Missing{};
  return static_cast<std::int64_t>(*read);
}
template <class T>
[[nodiscard]] Value integer_value(const Result<std::optional<T>>& read) {
  if (!read || !*read) return Missing{};
  return static_cast<std::int64_t>(**read);
}
[[nodiscard]] inline Value text_value(Result<std::string> read) {
  if (!read) return Missing{};
  return *std::move(read);
}
[[nodiscard]] inline Value address_value(Gva address) {
  if (!address) return Missing{};
  return address.value;
}

/// "8:1": a dev_t as the kernel keeps it (12 bits major, 20 bits minor), in decimal.
[[nodiscard]] std::string device_text(std::uint32_t device);

}  // namespace vitrine::linux
