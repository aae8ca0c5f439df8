// WritableMemory: a guest's RAM, to be written.
//
// A type of its own beside PhysicalMemory: whoever looks can never write by mistake. One exists
// only where somebody was permitted to change the guest.
#pragma once

#include "base/address.h"
#include "base/bytes.h"
#include "base/problem.h"

namespace vitrine {

/// Made by whoever took the permission from the user (--allow-writes), and by nobody else.
class WritePermission {
 public:
  /// @param granted_by  what the user said: "--allow-writes"; for the record
  explicit WritePermission(const char* granted_by) : granted_by_(granted_by) {}
  [[nodiscard]] const char* granted_by() const noexcept { return granted_by_; }

 private:
  const char* granted_by_;
};

class WritableMemory {
 public:
  WritableMemory() = default;
  WritableMemory(const WritableMemory&) = delete;
  WritableMemory& operator=(const WritableMemory&) = delete;
  virtual ~WritableMemory() = default;

  /// How a write became effective.
  enum class Effect : std::uint8_t {
    all,        ///< data and code
    data_only,  ///< an emulator that had translated code there runs the old code on
  };
  /// Writes all of `bytes`, or nothing of a page that cannot be written.
  /// @returns outside_ram, denied, unsupported, vanished
  [[nodiscard]] virtual Outcome<Effect> write(Gpa at, Bytes bytes) = 0;
};

}  // namespace vitrine
