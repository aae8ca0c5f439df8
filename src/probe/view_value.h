// What a program sees of a view's value: a number, or bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "linux/view.h"

namespace vitrine::probe {

/// Nothing: there is no value, or it is no number.
[[nodiscard]] std::optional<std::uint64_t> number_of(const linux::Value* value) noexcept;

/// A text's bytes; of a list each element with a NUL behind it, as the language keeps lists. What
/// does not fit is cut. @returns bytes used; nothing: there is no value, or it is no text
[[nodiscard]] std::optional<std::size_t> text_of(const linux::Value* value,
                                                 std::span<char> into) noexcept;

}  // namespace vitrine::probe
