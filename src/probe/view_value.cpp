#include "probe/view_value.h"

#include <algorithm>
#include <string_view>

namespace vitrine::probe {

std::optional<std::uint64_t> number_of(const linux::Value* value) noexcept {
  if (value == nullptr) return std::nullopt;
  if (const auto* flag = std::get_if<bool>(value)) return *flag ? 1 : 0;
  if (const auto* number = std::get_if<std::int64_t>(value))
    return static_cast<std::uint64_t>(*number);
  if (const auto* word = std::get_if<std::uint64_t>(value)) return *word;
  return std::nullopt;
}

std::optional<std::size_t> text_of(const linux::Value* value, std::span<char> into) noexcept {
  if (value == nullptr) return std::nullopt;
  std::size_t size = 0;
  const auto put = [&](std::string_view text) {
    const auto fits = std::min(text.size(), into.size() - size);
    std::copy_n(text.begin(), fits, into.begin() + static_cast<std::ptrdiff_t>(size));
    size += fits;
  };
  if (const auto* text = std::get_if<std::string>(value)) {
    put(*text);
    return size;
  }
  if (const auto* list = std::get_if<std::vector<std::string>>(value)) {
    for (const auto& element : *list) {
      put(element);
      put(std::string_view("\0", 1));
    }
    return size;
  }
  return std::nullopt;
}

}  // namespace vitrine::probe
