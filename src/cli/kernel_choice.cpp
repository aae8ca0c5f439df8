#include "cli/kernel_choice.h"

#include "cli/script_text.h"

namespace vitrine::cli {

struct KernelChoice::Live {};

KernelChoice::KernelChoice() = default;
KernelChoice::KernelChoice(KernelChoice&&) noexcept = default;
KernelChoice& KernelChoice::operator=(KernelChoice&&) noexcept = default;
KernelChoice::~KernelChoice() = default;

Outcome<KernelChoice> KernelChoice::open(Context& context, const Arguments& words) {
  KernelChoice choice;
  choice.views_ = std::make_unique<probe::LinuxViews>(context.world.views());
  if (words.has("--kernel") && words.has("--vm")) {
    return std::unexpected(Problem(Errc::invalid, "--vm and --kernel exclude each other",
                                   "a script is checked against one kernel"));
  }
  if (const auto file = words.value("--kernel")) {
    const auto text = TRY(read_text(*file));
    choice.saved_ = TRY(vmipl::KernelDescription::parse(text));
    choice.release_ = choice.saved_->release();
  }
  return choice;
}

vmipl::Ports KernelChoice::ports() const {
  vmipl::Ports ports{nullptr, nullptr, views_.get()};
  if (saved_) {
    const auto saved = saved_->ports();
    ports = {saved.types, saved.symbols, views_.get()};
  }
  return ports;
}

std::vector<Option> kernel_options() {
  return {{"--kernel", "FILE", "check against a saved description of a kernel", Words::path}};
}

}  // namespace vitrine::cli
