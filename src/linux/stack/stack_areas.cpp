#include "linux/stack/stack_areas.h"

#include <fmt/core.h>

#include <bit>
#include <utility>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {
namespace {

// THREAD_SIZE of x86-64 without KASAN; with CONFIG_VMAP_STACK the kernel itself tells, and where
// its types have the union, that.
constexpr std::uint64_t kUsualPages = 4;
constexpr std::uint64_t kMaxPages = 64;
constexpr std::uint64_t kEndOfStack = 0x57ac6e9d;  // STACK_END_MAGIC

}  // namespace

std::string_view name(StackKind kind) noexcept {
  switch (kind) {
    case StackKind::none:
      return "none";
    case StackKind::task:
      return "task";
    case StackKind::interrupt:
      return "irq";
    case StackKind::double_fault:
      return "df";
    case StackKind::nmi:
      return "nmi";
    case StackKind::debug:
      return "db";
    case StackKind::machine_check:
      return "mce";
    case StackKind::vmm:
      return "vc";
    case StackKind::vmm_fallback:
      return "vc2";
    case StackKind::entry:
      return "entry";
  }
  return "none";
}

Outcome<StackAreas> StackAreas::open(const Kernel& kernel) {
  const auto& types = kernel.types();
  StackAreas areas(kernel);
  FieldBinder bind(types);
  bind(areas.stack_, "task_struct.stack");
  bind(areas.pages_, "task_struct.stack_vm_area->nr_pages");
  TRY(bind.done());

  areas.usual_pages_ = kUsualPages;
  if (const auto size = types.size_of("thread_union");
      size && *size % kPageSize == 0 && *size / kPageSize <= kMaxPages && *size != 0) {
    areas.usual_pages_ = *size / kPageSize;
  }

  const auto variable = [&](std::string_view name) { return kernel.symbols().find(name); };
  // A variable of its own, but for 6.2 to 6.14, where pcpu_hot holds it (d7b6d709a76a,
  // c8f1ac2bd707).
  areas.interrupt_pointer_ = variable("hardirq_stack_ptr");
  if (const auto hot = variable("pcpu_hot"); !areas.interrupt_pointer_ && hot) {
    if (const auto member = Embedded::from(types, "pcpu_hot.hardirq_stack_ptr")) {
      areas.interrupt_pointer_ = member->in(*hot);
    }
  }
  areas.interrupt_size_ = types.size_of("irq_stack").value_or(0);

  areas.exception_pointer_ = variable("cea_exception_stacks");
  const auto exception = [&](StackKind kind, PathName member) {
    const auto place = Embedded::from(types, member);
    if (place) areas.exceptions_.push_back({kind, place->offset().value_or(0), place->size()});
  };
  exception(StackKind::double_fault, "cea_exception_stacks.DF_stack");
  exception(StackKind::nmi, "cea_exception_stacks.NMI_stack");
  exception(StackKind::debug, "cea_exception_stacks.DB_stack");
  exception(StackKind::machine_check, "cea_exception_stacks.MCE_stack");
  exception(StackKind::vmm, "cea_exception_stacks.VC_stack");
  exception(StackKind::vmm_fallback, "cea_exception_stacks.VC2_stack");

  if (const auto segment = variable("cpu_tss_rw")) {
    if (const auto top = Embedded::from(types, "tss_struct.x86_tss.sp0")) {
      areas.entry_pointer_ = top->in(*segment);
    }
  }
  areas.entry_size_ = types.size_of("entry_stack").value_or(0);
  return areas;
}

Result<StackArea> StackAreas::of_task(Gva task) const {
  const auto& memory = kernel_->memory();
  const auto start = TRY(stack_.read(memory, task));
  if (!start) return fail(Errc::not_found, task.value, "task_struct.stack");
  if (!is_kernel_pointer(start)) return fail(Errc::implausible, task.value, "task_struct.stack");
  std::uint64_t pages = usual_pages_;
  if (const auto told = pages_.find(memory, task);
      told && *told && **told != 0 && **told <= kMaxPages) {
    pages = **told;
  }
  return StackArea{StackKind::task, start, pages * kPageSize};
}

bool StackAreas::ends_like_a_tasks(Gva sp, std::uint64_t size) const {
  // Stacks are aligned to their size; include/uapi/linux/magic.h.
  if (!std::has_single_bit(size) || !is_kernel_pointer(sp, 1)) return false;
  return kernel_->memory().load<std::uint64_t>(Gva{sp.value & ~(size - 1)}).value_or(0) ==
         kEndOfStack;
}

std::vector<StackArea> StackAreas::of_cpu(unsigned cpu) const {
  const auto& memory = kernel_->memory();
  const auto pointer = [&](std::optional<Gva> variable) -> std::optional<Gva> {
    if (!variable) return std::nullopt;
    const auto at = kernel_->per_cpu(*variable, cpu);
    if (!at) return std::nullopt;
    const auto value = memory.load<Gva>(*at);
    if (!value || !is_kernel_pointer(*value)) return std::nullopt;
    return *value;
  };
  std::vector<StackArea> areas;
  if (const auto top = pointer(interrupt_pointer_); top && interrupt_size_ != 0) {
    // The stack's end, or from 5.12 on the last word below it.
    const Gva end{(top->value + sizeof(std::uint64_t)) & ~(kPageSize - 1)};
    areas.push_back({StackKind::interrupt, end - interrupt_size_, interrupt_size_});
  }
  if (const auto start = pointer(exception_pointer_)) {
    for (const auto& one : exceptions_) areas.push_back({one.kind, *start + one.offset, one.size});
  }
  if (const auto end = pointer(entry_pointer_); end && entry_size_ != 0) {
    areas.push_back({StackKind::entry, *end - entry_size_, entry_size_});
  }
  return areas;
}

}  // namespace vitrine::linux
