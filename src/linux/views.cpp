// The register of views, by name.
#include "linux/views/all_views.h"

namespace vitrine::linux {
namespace {

constexpr const View* kViews[] = {
    &anonymous_calls_view,
    &bpf_programs_view,
    &code_changes_view,
    &cpus_view,
    &credentials_view,
    &files_view,
    &hidden_modules_view,
    &hooks_view,
    &interfaces_view,
    &interrupts_view,
    &kernel_view,
    &kernel_code_view,
    &kernel_log_view,
    &kernel_stacks_view,
    &maps_view,
    &modules_view,
    &mounts_view,
    &operations_view,
    &preloads_view,
    &processes_view,
    &scheduled_view,
    &sockets_view,
    &standard_streams_view,
    &symbols_view,
    &syscall_table_view,
    &system_call_entries_view,
    &text_changes_view,
    &threads_view,
    &user_stacks_view,
};

}  // namespace

std::span<const View* const> views() noexcept { return kViews; }

const View* find_view(std::string_view name) noexcept {
  for (const View* view : kViews) {
    if (view->info().name == name) return view;
  }
  return nullptr;
}

}  // namespace vitrine::linux
