// Views of untrusted bytes, and little-endian loads that cannot leave them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace vitrine {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// The little-endian value at `offset`, or nothing if it would leave the view.
template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::optional<T> load(Bytes bytes, std::uint64_t offset) noexcept {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// `size` bytes at `offset`, or nothing if they would leave the view.
[[nodiscard]] inline std::optional<Bytes> slice(Bytes bytes, std::uint64_t offset,
                                                std::uint64_t size) noexcept {
  if (offset > bytes.size() || bytes.size() - offset < size) return std::nullopt;
  return bytes.subspan(offset, size);
}

/// The text from `offset` up to (not including) the first NUL, or nothing if there
/// is no NUL within `limit` bytes or the view.
[[nodiscard]] inline std::optional<std::string_view> load_string(
    Bytes bytes, std::uint64_t offset, std::uint64_t limit = UINT64_MAX) noexcept {
  if (offset >= bytes.size()) return std::nullopt;
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + offset;
  const auto room = std::min<std::uint64_t>(bytes.size() - offset, limit);
  const auto* end = static_cast<const char*>(std::memchr(text, 0, room));
  if (end == nullptr) return std::nullopt;
  return std::string_view(text, static_cast<std::size_t>(end - text));
}

template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] MutableBytes writable_bytes_of(T& value) noexcept {
  return std::as_writable_bytes(std::span<T, 1>(&value, 1));
}

[[nodiscard]] inline Bytes bytes_of(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace vitrine
