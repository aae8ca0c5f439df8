// WitnessedView: a view that never leaves something out without a word where the host failed it.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

/// Any view, and behind what it says itself one sentence more if reads of RAM were refused while it
/// was read: what a refused read would have led to may be missing. A view judges by itself what it
/// can tell of its rows; this is for what it cannot know that it missed.
class WitnessedView final : public View {
 public:
  /// @param inner  must outlive this.
  explicit WitnessedView(const View& inner) : inner_(inner) {}

  [[nodiscard]] const ViewInfo& info() const noexcept override { return inner_.info(); }
  [[nodiscard]] Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) const override;

 private:
  const View& inner_;
};

}  // namespace vitrine::linux
