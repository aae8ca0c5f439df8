// The register of views, by name.
#include "linux/view.h"
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
#include "linux/views/processes.h"
#include "linux/views/scheduled.h"
#include "linux/views/sockets.h"
#include "linux/views/standard_streams.h"
#include "linux/views/symbols.h"
#include "linux/views/syscall_table.h"
#include "linux/views/text_changes.h"
#include "linux/views/threads.h"
#include "linux/views/user_stacks.h"

namespace vitrine::linux {
namespace {

std::span<const View* const> all() noexcept {
  static const View* const kViews[] = {
      &code_changes_view(),
      &cpus_view(),
      &credentials_view(),
      &files_view(),
      &hidden_modules_view(),
      &hooks_view(),
      &interfaces_view(),
      &interrupts_view(),
      &kernel_view(),
      &kernel_code_view(),
      &kernel_log_view(),
      &kernel_stacks_view(),
      &maps_view(),
      &modules_view(),
      &mounts_view(),
      &operations_view(),
      &processes_view(),
      &scheduled_view(),
      &sockets_view(),
      &standard_streams_view(),
      &symbols_view(),
      &syscall_table_view(),
      &text_changes_view(),
      &threads_view(),
      &user_stacks_view(),
  };
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
