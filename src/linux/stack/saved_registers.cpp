#include "linux/stack/saved_registers.h"

#include "linux/modules_offsets.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kUserCode = 0x33, kUserCode32 = 0x23;  // __USER_CS, __USER32_CS
constexpr std::uint64_t kUserData = 0x2b;                      // __USER_DS

}  // namespace

Outcome<SavedLayout> SavedLayout::open(const TypeCatalogue& types) {
  SavedLayout layout;
  Offsets of(types);
  layout.ip = of.need("pt_regs.ip");
  layout.cs = of.need("pt_regs.cs");
  layout.sp = of.need("pt_regs.sp");
  layout.bp = of.need("pt_regs.bp");
  layout.r10 = of.need("pt_regs.r10");
  layout.r13 = of.need("pt_regs.r13");
  layout.di = of.need("pt_regs.di");
  layout.dx = of.need("pt_regs.dx");
  layout.ss = of.need("pt_regs.ss");
  layout.call = of.need("pt_regs.orig_ax");
  layout.size = static_cast<std::uint32_t>(of.need_size("pt_regs"));
  layout.switched_bp = of.need("inactive_task_frame.bp");
  layout.switched_ip = of.need("inactive_task_frame.ret_addr");
  layout.switched_size = static_cast<std::uint32_t>(of.need_size("inactive_task_frame"));
  if (of.missing()) return std::unexpected(*of.missing());
  return layout;
}

std::optional<UserState> saved_user_state(const VirtualMemory& memory, const SavedLayout& layout,
                                          const StackArea& stack) {
  for (const auto free : kFreeAboveRegisters) {
    const Gva at = stack.end() - free - layout.size;
    const auto load = [&](std::uint32_t offset) {
      return memory.load<std::uint64_t>(at + offset).value_or(0);
    };
    const auto cs = load(layout.cs) & 0xffff, ss = load(layout.ss) & 0xffff;
    if ((cs != kUserCode && cs != kUserCode32) || ss != kUserData) continue;
    return UserState{load(layout.ip), load(layout.sp), load(layout.bp), at};
  }
  return std::nullopt;
}

}  // namespace vitrine::linux
