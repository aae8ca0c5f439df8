#include "cli/kernel_choice.h"

#include "cli/script_text.h"

namespace vitrine::cli {

struct KernelChoice::Live {
  explicit Live(const linux::Kernel& kernel) : ports(kernel) {}
  probe::KernelPorts ports;
};

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
  if (const auto vm = words.value("--vm")) {
    auto named = words;
    named.machine = vm;
    choice.session_ = TRY(Session::open(context, named));
    choice.release_ = choice.session_->guest().identity().release;
    if (const auto* kernel = choice.session_->guest().kernel())
      choice.live_ = std::make_unique<Live>(*kernel);
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
  if (live_) {
    const auto live = live_->ports.ports();
    ports = {live.types, live.symbols, views_.get()};
  }
  if (saved_) {
    const auto saved = saved_->ports();
    ports = {saved.types, saved.symbols, views_.get()};
  }
  return ports;
}

std::vector<Option> kernel_options() {
  return {{"--vm", "VM", "check against the kernel of this machine or image", Words::machine},
          {"--kernel", "FILE", "check against a kernel saved by `vitrine kernel`", Words::path},
          {"--no-cache", "", "recover the kernel's symbols and types anew"}};
}

}  // namespace vitrine::cli
