#include "probe/host_guest.h"

#include <fmt/format.h>

#include <ctime>

#include "linux/field.h"
#include "linux/type_catalogue.h"
#include "probe/host_stack.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

std::int64_t clock_now(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::uint64_t monotonic_now() noexcept {
  return static_cast<std::uint64_t>(clock_now(CLOCK_MONOTONIC));
}
std::int64_t wall_now() noexcept { return clock_now(CLOCK_REALTIME); }

HostGuest host_guest(const Machine& machine, const linux::Kernel& kernel) {
  HostGuest guest{.machine = machine, .kernel = kernel, .moment = fill_moment_layout(kernel)};
  guest.wall_minus_monotonic = wall_now() - static_cast<std::int64_t>(monotonic_now());
  if (const auto init = kernel.symbols().find("init_task")) guest.list_head = init->value;
  if (const auto tasks = linux::Embedded::from(kernel.types(), "task_struct.tasks"))
    guest.list_offset = static_cast<std::uint32_t>(tasks->offset().value_or(0));
  guest.user_frames = std::make_shared<UserFrames>();
  guest.stack = host_stack(kernel, guest.user_frames);
  return guest;
}

std::vector<std::string> apply_settings(const vmipl::Program& program, HostGuest& guest) {
  std::vector<std::string> contradictions;
  auto& layout = guest.moment.layout;
  for (const auto& setting : program.settings) {
    const auto& key = vmipl::configuration_keys()[setting.key];
    const auto say = [&](std::uint64_t own) {
      contradictions.push_back(fmt::format(
          "{} is {:#x} in the script, and {:#x} by the kernel itself: the script's is used",
          key.name, setting.value, own));
    };
    const auto member = [&](std::uint32_t& into) {
      if (into != MomentLayout::kAbsent && into != setting.value) say(into);
      into = static_cast<std::uint32_t>(setting.value);
    };
    if (key.name == "ProcessListHead") {
      if (guest.list_head != 0 && guest.list_head != setting.value) say(guest.list_head);
      guest.list_head = setting.value;
    } else if (key.name == "TasksOffset")
      member(guest.list_offset);
    else if (key.name == "PIDOffset")
      member(layout.task_pid);
    else if (key.name == "ProcessNameOffset")
      member(layout.task_comm);
    else if (key.name == "MMStructOffset")
      member(layout.task_mm);
    else if (key.name == "ExeFileOffset")
      member(layout.mm_exe_file);
    else if (key.name == "DEntryOffset")
      member(layout.file_dentry);
    else if (key.name == "ParentOffset")
      member(layout.dentry_parent);
    else if (key.name == "DNameOffset")
      member(layout.dentry_name);
    else if (key.name == "PGDOffset")
      member(layout.mm_pgd);
    // The keys about system calls are the event sources'.
  }
  return contradictions;
}

}  // namespace vitrine::probe
