// RuleEnvironment: what a rule's block sees of the guest, and what its reports carry away.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "linux/symbols.h"
#include "probe/environment.h"
#include "symptom/finding.h"
#include "symptom/view_cache.h"
#include "vmipl/program.h"

namespace vitrine::symptom {

/// One program's. Threads: one at a time.
class RuleEnvironment final : public probe::Environment {
 public:
  /// A report: a finding with all but its times. Of Report alone; other actions are refused when
  /// the pack is loaded.
  using Report = std::function<void(Finding)>;

  /// All must outlive this. `turn` is called now and then while a firing goes on.
  RuleEnvironment(
      const vmipl::Program& program, std::string file, ViewCache& views, Report report,
      std::function<void()> turn = [] {});

  /// A firing of program.probes[probe] begins.
  void begin(unsigned probe, std::int64_t now);
  /// Every view that this firing opened was read whole.
  [[nodiscard]] bool complete() const { return complete_; }

  void turn() noexcept override { turn_(); }
  bool read(std::uint64_t va, MutableBytes into) noexcept override;
  bool read_physical(std::uint64_t gpa, MutableBytes into) noexcept override;
  std::optional<std::uint64_t> moment(unsigned index) noexcept override;
  std::optional<std::size_t> symbol(std::uint64_t address, std::span<char> into) noexcept override;
  std::optional<std::uint64_t> per_cpu(std::uint64_t variable, std::uint64_t cpu) noexcept override;
  std::optional<bool> listed(std::uint64_t pid) noexcept override;
  void view_open(unsigned slot, unsigned use) noexcept override;
  bool view_next(unsigned slot) noexcept override;
  std::optional<std::uint64_t> column(unsigned slot, unsigned index) noexcept override;
  std::optional<std::size_t> column_text(unsigned slot, unsigned index,
                                         std::span<char> into) noexcept override;
  bool emit(unsigned site, std::span<const probe::ValueView> values) noexcept override;

 private:
  struct Slot {
    const ViewRows* rows = nullptr;
    std::size_t next = 0;  ///< the row + 1; 0: before the first
    std::uint64_t opened = 0;
    [[nodiscard]] bool on_row() const {
      return rows != nullptr && next > 0 && next <= rows->rows.size();
    }
  };
  [[nodiscard]] const linux::Value* value(unsigned slot, unsigned index) const;
  void add_evidence(Finding& finding, std::string& key) const;

  const vmipl::Program& program_;
  std::string file_;
  ViewCache& views_;
  Report report_;
  std::function<void()> turn_;
  std::vector<std::vector<std::size_t>>
      columns_;  ///< of each view use: places in the view's columns
  std::array<Slot, vmipl::kMaxViewSlots> slots_;
  std::array<std::size_t, vmipl::kMaxViewSlots> slot_use_{};
  unsigned probe_ = 0;
  std::int64_t now_ = 0;
  std::uint64_t opened_ = 0;
  bool complete_ = true;
};

}  // namespace vitrine::symptom
