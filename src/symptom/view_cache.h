// ViewCache: what the views of one pass say, each read once however many rules ask.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "linux/kernel.h"
#include "linux/view.h"
#include "vmipl/ports.h"

namespace vitrine::symptom {

/// The rows of one view, as of one reading.
struct ViewRows {
  const linux::ViewInfo* info = nullptr;
  std::vector<std::vector<linux::Value>> rows;
  std::vector<bool> doubtful;      ///< of each row
  bool complete = true;            ///< false: a bound was met, or the table could not be read
  std::vector<std::string> notes;  ///< a sentence each

  using Row = std::vector<linux::Value>;
  /// Where the view's column of that name stands in a row. The view has it, if there are rows.
  [[nodiscard]] std::size_t place(std::string_view column) const;
};

/// The views that rules may use: the kernel's, and those that the engine itself gives
/// (`required`, `findings`).
class RuleViews final : public vmipl::ViewPort {
 public:
  RuleViews() = default;
  /// The kernel's are those of `kernels`, which must outlive this.
  explicit RuleViews(const vmipl::ViewPort& kernels) : kernels_(&kernels) {}
  std::optional<std::vector<vmipl::ViewColumn>> columns(std::string_view view) const override;
  std::vector<std::string> names() const override;

 private:
  const vmipl::ViewPort* kernels_ = nullptr;
};
/// The ViewInfo of that name, the engine's own included; nullptr: none.
[[nodiscard]] const linux::ViewInfo* find_info(std::string_view view) noexcept;

/// Columns of the view `required`.
inline constexpr std::string_view kRequiredView = "required";
/// Columns of the view `findings`, in order: what an allow-list is written over.
inline constexpr std::string_view kFindingsView = "findings";

class ViewCache {
 public:
  /// Rows that are kept of one view; what is beyond is told as not looked at.
  static constexpr std::size_t kMaxRows = 1U << 18;

  /// `kernel` must outlive this.
  ViewCache(const linux::Kernel& kernel, std::vector<std::string> required)
      : kernel_(kernel), required_(std::move(required)) {}

  /// A new pass: everything is forgotten but the readers, which may compare with what they saw.
  void begin(std::span<const std::int64_t> pids);
  /// Does nothing a second time. Never null; rows lives until begin().
  [[nodiscard]] const ViewRows& read(std::string_view view);
  /// Rows from elsewhere: the finding that an allow-list judges.
  void put(std::string_view view, ViewRows rows);

  /// Can this kernel give that view? The reason, if not.
  [[nodiscard]] std::optional<std::string> refuses(std::string_view view);
  [[nodiscard]] bool listed(std::int64_t pid);
  [[nodiscard]] std::string process_name(std::int64_t pid);  ///< empty: no such process
  [[nodiscard]] const linux::Kernel& kernel() const { return kernel_; }

 private:
  [[nodiscard]] ViewRows required();
  [[nodiscard]] linux::ViewReader* reader(std::string_view view, std::string& why);

  const linux::Kernel& kernel_;
  std::vector<std::string> required_;
  std::vector<std::int64_t> pids_;
  std::map<std::string, std::unique_ptr<linux::ViewReader>, std::less<>> readers_;
  std::map<std::string, std::string, std::less<>> refused_;
  std::map<std::string, ViewRows, std::less<>> rows_;
  std::optional<std::vector<std::int64_t>> pids_listed_;
};

/// A value as evidence tells it: as `vitrine show --json` writes it, without quotes.
[[nodiscard]] std::string evidence_text(const linux::Value& value, linux::ColumnType type);

}  // namespace vitrine::symptom
