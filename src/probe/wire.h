// Wire: little-endian values in a byte string, written and read with every length checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/bytes.h"

namespace vitrine::probe {

class WireWriter {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put(T value) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof value);
  }
  void put_bytes(Bytes bytes) {
    put(static_cast<std::uint32_t>(bytes.size()));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void put_text(std::string_view text) { put_bytes(bytes_of(text)); }
  template <class T>
  void put_list(const std::vector<T>& list) {
    put(static_cast<std::uint32_t>(list.size()));
    for (const auto& item : list) put(item);
  }

  [[nodiscard]] std::vector<std::byte> take() && { return std::move(bytes_); }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what a WireWriter wrote, or anything else: once something does not fit, ok() is false
/// for good and every further value is zero or empty.
class WireReader {
 public:
  explicit WireReader(Bytes bytes) : bytes_(bytes) {}

  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] T get() {
    const auto value = load<T>(bytes_, at_);
    if (!value) {
      ok_ = false;
      at_ = bytes_.size();
      return T{};
    }
    at_ += sizeof(T);
    return *value;
  }
  /// How many items follow, if at least `least` bytes each can follow; else 0 and not ok().
  [[nodiscard]] std::uint32_t get_count(std::size_t least) {
    const auto count = get<std::uint32_t>();
    if (least != 0 && count > (bytes_.size() - at_) / least) {
      ok_ = false;
      return 0;
    }
    return count;
  }
  [[nodiscard]] Bytes get_bytes() {
    const auto count = get_count(1);
    const auto part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }
  [[nodiscard]] std::string get_text() {
    const auto part = get_bytes();
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  template <class T>
  [[nodiscard]] std::vector<T> get_list() {
    std::vector<T> list(get_count(sizeof(T)));
    for (auto& item : list) item = get<T>();
    return list;
  }

  [[nodiscard]] bool ok() const { return ok_; }
  /// How far it has read, in bytes: for an error's address.
  [[nodiscard]] std::size_t at() const { return at_; }
  /// All was read, and all fitted.
  [[nodiscard]] bool done() const { return ok_ && at_ == bytes_.size(); }
  void fail() { ok_ = false; }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace vitrine::probe
