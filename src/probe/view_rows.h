// ViewRows: the rows of a view while a block goes over them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "linux/kernel.h"
#include "linux/view.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// What reading views left open, for the end of a run.
struct ViewTally {
  std::uint64_t doubtful = 0;      ///< rows
  std::uint64_t dropped = 0;       ///< rows that could not be read
  std::vector<std::string> words;  ///< each said once: views that could not be read, bounds
};

/// A whole view is read when its loop begins: its rows are of one look. Threads: one at a time.
class ViewRows {
 public:
  static constexpr std::size_t kMaxRows = 1 << 20;

  /// Both must outlive this.
  ViewRows(const linux::Kernel& kernel, const vmipl::Program& program)
      : kernel_(kernel), program_(program) {}

  /// Finds the views and columns of the program in this kernel.
  /// @returns not_found  a view that this kernel's layout does not give; the message says why
  [[nodiscard]] Outcome<void> prepare();

  void open(unsigned slot, unsigned use);
  [[nodiscard]] bool next(unsigned slot);
  [[nodiscard]] std::optional<std::uint64_t> number(unsigned slot, unsigned column) const;
  [[nodiscard]] std::optional<std::size_t> text(unsigned slot, unsigned column,
                                                std::span<char> into) const;

  [[nodiscard]] const ViewTally& tally() const { return tally_; }

 private:
  struct Slot {
    std::vector<linux::Value> values;  ///< of all rows, one after the other
    std::size_t columns = 0, rows = 0;
    std::size_t at = 0;  ///< the row + 1
  };
  [[nodiscard]] const linux::Value* value(unsigned slot, unsigned column) const;
  void say(std::string words);

  const linux::Kernel& kernel_;
  const vmipl::Program& program_;
  struct Use {
    const linux::View* view = nullptr;
    std::vector<std::size_t> columns;
  };
  std::vector<Use> uses_;  ///< of each of program.views
  std::map<const linux::View*, std::unique_ptr<linux::ViewReader>> readers_;
  std::array<Slot, vmipl::kMaxViewSlots> slots_;
  ViewTally tally_;
};

}  // namespace vitrine::probe
