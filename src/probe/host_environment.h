// HostEnvironment: what a block sees that runs on the host: for a CPU that waits at its event,
// or by the host's clock.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "probe/environment.h"
#include "probe/host_guest.h"
#include "probe/record.h"
#include "probe/view_rows.h"
#include "x86/address_space.h"

namespace vitrine::probe {

/// Threads: one at a time, as the kernel it looks at.
class HostEnvironment final : public Environment, private MomentMemory {
 public:
  /// What leaves the block: a site with its operands. @returns false: the firing ends
  using Emit = std::function<bool(unsigned site, std::span<const ValueView> values)>;

  /// All must outlive this.
  HostEnvironment(const vmipl::Program& program, HostGuest& guest, Emit emit);

  /// Finds the program's views. Errors as ViewRows::prepare().
  [[nodiscard]] Outcome<void> prepare() { return rows_.prepare(); }

  /// The firing that is looked at from now on, until the next. A look at the guest begins anew.
  void begin(HeldFiring& firing);
  [[nodiscard]] HeldFiring& firing() { return *firing_; }

  /// Time, CPU, and process of the firing. The sequence is the caller's.
  [[nodiscard]] RecordHead head();
  /// The processes with these fields of vmipl::process_list_fields(), row after row; with the
  /// offsets that the script's configuration says, if it says any.
  [[nodiscard]] std::vector<Value> process_list(std::span<const std::uint64_t> fields);
  /// Why the last process_list() is not whole; empty: it is.
  [[nodiscard]] const std::string& list_problem() const { return list_problem_; }
  [[nodiscard]] const ViewTally& views() const { return rows_.tally(); }

  bool read(std::uint64_t va, MutableBytes into) noexcept override;
  bool read_physical(std::uint64_t gpa, MutableBytes into) noexcept override;
  std::optional<std::uint64_t> reg(unsigned index) noexcept override;
  std::optional<RegisterParts> parts(unsigned index) noexcept override;
  std::optional<std::uint64_t> moment(unsigned index) noexcept override;
  std::optional<std::size_t> moment_text(unsigned index, std::span<char> into) noexcept override;
  std::optional<std::uint64_t> field(unsigned index) noexcept override;
  std::optional<std::size_t> field_text(unsigned index, std::span<char> into) noexcept override;
  std::optional<std::size_t> symbol(std::uint64_t address, std::span<char> into) noexcept override;
  std::optional<std::uint64_t> per_cpu(std::uint64_t variable, std::uint64_t cpu) noexcept override;
  std::optional<bool> listed(std::uint64_t pid) noexcept override;
  void view_open(unsigned slot, unsigned use) noexcept override { rows_.open(slot, use); }
  bool view_next(unsigned slot) noexcept override { return rows_.next(slot); }
  std::optional<std::uint64_t> column(unsigned slot, unsigned index) noexcept override {
    return rows_.number(slot, index);
  }
  std::optional<std::size_t> column_text(unsigned slot, unsigned index,
                                         std::span<char> into) noexcept override {
    return rows_.text(slot, index, into);
  }
  bool emit(unsigned site, std::span<const ValueView> values) noexcept override;

 private:
  bool kernel(std::uint64_t address, MutableBytes into) noexcept override;
  bool user(std::uint64_t pgd, std::uint64_t address, MutableBytes into) noexcept override;
  [[nodiscard]] const x86::Registers* registers();
  [[nodiscard]] std::optional<std::uint64_t> task();
  [[nodiscard]] std::optional<std::uint64_t> argument(unsigned index);

  const vmipl::Program& program_;
  HostGuest& guest_;
  Emit emit_;
  ViewRows rows_;
  MomentReader reader_;
  HeldFiring* firing_ = nullptr;
  std::optional<x86::AddressSpace> space_;  ///< by the CPU's own tables
  std::optional<std::vector<x86::Registers>>
      monitor_;  ///< by the host's clock: asked of the monitor once a firing
  bool asked_monitor_ = false;
  std::optional<std::optional<std::uint64_t>> task_;
  std::optional<MomentReader::Cpu> cpu_;
  std::optional<std::vector<std::int32_t>> pids_;  ///< listed(), ascending
  std::string list_problem_;
  std::uint64_t user_pgd_ = 0;
  std::optional<x86::AddressSpace> user_;
};

/// The name of a code address by the kernel's and its modules' symbols: "do_exit+0x12".
[[nodiscard]] std::optional<std::string> symbol_words(const linux::Kernel& kernel,
                                                      std::uint64_t address);

}  // namespace vitrine::probe
