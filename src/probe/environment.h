// Environment: what one firing of a probe sees of the guest and of its event.
//
// Each way of reaching a machine implements it: the agent on a virtual CPU's thread, the host
// for a CPU that waits, the host's clock, the lab. Every call may fail: then the value is
// missing. Nothing here throws, and nothing but the host's views allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "probe/value.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// The parts of a segment or table register; a table register has no selector and attributes.
struct RegisterParts {
  std::uint64_t base = 0;
  std::uint32_t limit = 0;
  std::uint16_t selector = 0;
  std::uint32_t attributes = 0;  ///< as in a VMCS: bits 7:0 and 15:12 of the descriptor's flags
};

/// Texts are written into a buffer of the caller; the answer is how many bytes of it are used.
/// What does not fit is cut.
class Environment {
 public:
  virtual ~Environment() = default;

  /// A firing goes on: called each few milliseconds that it takes.
  virtual void turn() noexcept {}

  /// Guest-virtual memory by the current page tables: all bytes, or false. Each page is translated.
  [[nodiscard]] virtual bool read(std::uint64_t, MutableBytes) noexcept { return false; }
  [[nodiscard]] virtual bool read_physical(std::uint64_t, MutableBytes) noexcept { return false; }
  /// vmipl::registers()[index]; of a segment its selector, of a table its base.
  [[nodiscard]] virtual std::optional<std::uint64_t> reg(unsigned) noexcept { return std::nullopt; }
  [[nodiscard]] virtual std::optional<RegisterParts> parts(unsigned) noexcept {
    return std::nullopt;
  }
  /// vmipl::moments()[index].
  [[nodiscard]] virtual std::optional<std::uint64_t> moment(unsigned) noexcept {
    return std::nullopt;
  }
  [[nodiscard]] virtual std::optional<std::size_t> moment_text(unsigned, std::span<char>) noexcept {
    return std::nullopt;
  }
  /// Field `index` of the probe that fires.
  [[nodiscard]] virtual std::optional<std::uint64_t> field(unsigned) noexcept {
    return std::nullopt;
  }
  [[nodiscard]] virtual std::optional<std::size_t> field_text(unsigned, std::span<char>) noexcept {
    return std::nullopt;
  }
  /// "do_exit+0x12"
  [[nodiscard]] virtual std::optional<std::size_t> symbol(std::uint64_t, std::span<char>) noexcept {
    return std::nullopt;
  }
  /// Where CPU `cpu` keeps the per-CPU variable at `variable`.
  [[nodiscard]] virtual std::optional<std::uint64_t> per_cpu(std::uint64_t,
                                                             std::uint64_t) noexcept {
    return std::nullopt;
  }
  [[nodiscard]] virtual std::optional<bool> listed(std::uint64_t) noexcept { return std::nullopt; }

  /// Begins to go over program.views[use] in `slot`; what the slot held before is dropped.
  virtual void view_open(unsigned, unsigned) noexcept {}
  [[nodiscard]] virtual bool view_next(unsigned) noexcept { return false; }
  /// Column `index` of the use's columns, in the slot's row.
  [[nodiscard]] virtual std::optional<std::uint64_t> column(unsigned, unsigned) noexcept {
    return std::nullopt;
  }
  [[nodiscard]] virtual std::optional<std::size_t> column_text(unsigned, unsigned,
                                                               std::span<char>) noexcept {
    return std::nullopt;
  }

  /// program.sites[site] with its operands. The views of texts hold until this returns.
  /// @returns false  the firing ends here: Stop() was it
  [[nodiscard]] virtual bool emit(unsigned site, std::span<const ValueView> values) noexcept = 0;
};

}  // namespace vitrine::probe
