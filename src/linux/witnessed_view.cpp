#include "linux/witnessed_view.h"

#include <fmt/core.h>

#include <utility>

#include "linux/kernel.h"

namespace vitrine::linux {
namespace {

class WitnessedReader final : public ViewReader {
 public:
  WitnessedReader(std::unique_ptr<ViewReader> inner, const Kernel& kernel, std::uint64_t opening)
      : inner_(std::move(inner)), kernel_(kernel), opening_(opening) {}

  [[nodiscard]] Outcome<Tally> read(RowSink& rows) override {
    const auto before = kernel_.ram().refused();
    auto tally = TRY(inner_->read(rows));
    const auto refused = kernel_.ram().refused() - before + std::exchange(opening_, 0);
    if (refused != 0)
      tally.warnings.push_back(fmt::format(
          "{} reads of the machine's memory failed, the last at physical {:#x}: rows or "
          "values may be missing",
          refused, kernel_.ram().last_refused().value));
    return tally;
  }
  [[nodiscard]] std::vector<std::string> missing_columns() const override {
    return inner_->missing_columns();
  }

 private:
  std::unique_ptr<ViewReader> inner_;
  const Kernel& kernel_;
  std::uint64_t opening_;  // refused while it was opened; told with the first reading
};

}  // namespace

Outcome<std::unique_ptr<ViewReader>> WitnessedView::open(const Kernel& kernel) const {
  const auto before = kernel.ram().refused();
  auto inner = TRY(inner_.open(kernel));
  return std::make_unique<WitnessedReader>(std::move(inner), kernel,
                                           kernel.ram().refused() - before);
}

}  // namespace vitrine::linux
