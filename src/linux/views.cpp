// The register of views, by name.
#include <array>

#include "linux/view.h"
#include "linux/views/anonymous_calls.h"
#include "linux/views/bpf_programs.h"
#include "linux/views/code_changes.h"
#include "linux/views/cpus.h"
#include "linux/views/credentials.h"
#include "linux/views/files.h"
#include "linux/views/hidden_modules.h"
#include "linux/views/hooks.h"
#include "linux/views/interfaces.h"
#include "linux/views/interrupts.h"
#include "linux/views/kernel.h"
#include "linux/views/kernel_code.h"
#include "linux/views/kernel_log.h"
#include "linux/views/kernel_stacks.h"
#include "linux/views/maps.h"
#include "linux/views/modules.h"
#include "linux/views/mounts.h"
#include "linux/views/operations.h"
#include "linux/views/preloads.h"
#include "linux/views/processes.h"
#include "linux/views/scheduled.h"
#include "linux/views/sockets.h"
#include "linux/views/standard_streams.h"
#include "linux/views/symbols.h"
#include "linux/views/syscall_table.h"
#include "linux/views/system_call_entries.h"
#include "linux/views/text_changes.h"
#include "linux/views/threads.h"
#include "linux/views/user_stacks.h"
#include "linux/witnessed_view.h"

namespace vitrine::linux {
namespace {

std::span<const View* const> all() noexcept {
  static const WitnessedView kWitnessed[] = {
      WitnessedView(bpf_programs_view()),
      WitnessedView(preloads_view()),
      WitnessedView(code_changes_view()),
      WitnessedView(cpus_view()),
      WitnessedView(credentials_view()),
      WitnessedView(files_view()),
      WitnessedView(hidden_modules_view()),
      WitnessedView(hooks_view()),
      WitnessedView(interfaces_view()),
      WitnessedView(interrupts_view()),
      WitnessedView(kernel_view()),
      WitnessedView(kernel_code_view()),
      WitnessedView(kernel_log_view()),
      WitnessedView(kernel_stacks_view()),
      WitnessedView(maps_view()),
      WitnessedView(modules_view()),
      WitnessedView(mounts_view()),
      WitnessedView(operations_view()),
      WitnessedView(processes_view()),
      WitnessedView(scheduled_view()),
      WitnessedView(sockets_view()),
      WitnessedView(standard_streams_view()),
      WitnessedView(symbols_view()),
      WitnessedView(syscall_table_view()),
      WitnessedView(text_changes_view()),
      WitnessedView(threads_view()),
      WitnessedView(user_stacks_view()),
      WitnessedView(system_call_entries_view()),
      WitnessedView(anonymous_calls_view()),
  };
  static const auto kViews = [] {
    std::array<const View*, std::size(kWitnessed)> views{};
    for (std::size_t i = 0; i < views.size(); ++i) views[i] = &kWitnessed[i];
    return views;
  }();
  return kViews;
}

}  // namespace

std::span<const View* const> views() noexcept { return all(); }

const View* find_view(std::string_view name) noexcept {
  for (const View* view : all()) {
    if (view->info().name == name) return view;
  }
  return nullptr;
}

}  // namespace vitrine::linux
