#include "linux/stack/unwind.h"

#include <algorithm>
#include <array>
#include <utility>

#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {

using format::OrcBase;
using format::OrcKind;
using format::OrcRule;

namespace {

// __USER_CS, __USER32_CS, __USER_DS of every x86-64 kernel.
constexpr std::uint64_t kUserCode = 0x33, kUserCode32 = 0x23;

}  // namespace

std::string_view name(FrameSource source) noexcept {
  switch (source) {
    case FrameSource::registers:
      return "registers";
    case FrameSource::switched:
      return "switched";
    case FrameSource::call:
      return "call";
    case FrameSource::interrupted:
      return "interrupted";
    case FrameSource::guess:
      return "guess";
    case FrameSource::hooked:
      return "hooked";
  }
  return "unknown";
}

/// What the walk knows of the frame that it stands in.
struct Unwinder::State {
  std::uint64_t ip = 0, sp = 0, bp = 0;
  bool exact = true;
  FrameSource source = FrameSource::registers;
  Gva task;
  // Where registers can be read: the CPU's own, or a struct pt_regs (whole, or its end alone,
  // with the whole one found before it).
  const x86::Registers* own = nullptr;
  Gva saved, saved_before;
  bool whole = false;
  bool user = false;  // the saved ones are a program's
  std::span<const StackArea> areas;
  const StackArea* area = nullptr;
  std::uint32_t entered = 0;  // areas, by their place in `areas`: none is entered twice
  bool reliable = true;

  [[nodiscard]] const StackArea* area_of(std::uint64_t address) const {
    for (const auto& one : areas) {
      if (one.contains(Gva{address})) return &one;
    }
    return nullptr;
  }
  [[nodiscard]] StackFrame frame() const {
    return {Gva{ip}, exact,   source, area != nullptr ? area->kind : StackKind::none,
            Gva{sp}, reliable};
  }
};

Outcome<Unwinder> Unwinder::open(const Kernel& kernel) {
  auto orc = OrcTables::open(kernel);
  if (!orc && orc.error().code != Errc::not_found) return std::unexpected(std::move(orc).error());
  const auto& types = kernel.types();
  const auto layout = TRY(SavedLayout::open(types));
  Unwinder unwinder(kernel.memory(), std::nullopt, layout);
  if (orc) {
    unwinder.orc_ = std::move(*orc);
  } else if (const auto own = types.find("unwind_state")) {
    // Its own unwinder keeps a frame pointer where there are any.
    unwinder.scans_ = !own->find_member("bp").has_value();
  }
  unwinder.kernel_ = &kernel;
  unwinder.areas_ = TRY(StackAreas::open(kernel));
  unwinder.hooks_ = ReturnHooks::open(kernel);
  FieldBinder bind(types);
  bind(unwinder.thread_sp_, "task_struct.thread.sp");
  bind(unwinder.on_cpu_, "task_struct.on_cpu");
  bind(unwinder.voluntary_, "task_struct.nvcsw");
  bind(unwinder.involuntary_, "task_struct.nivcsw");
  TRY(bind.done());
  const auto find = [&](std::string_view name) {
    return kernel.symbols().find(name).value_or(Gva{});
  };
  unwinder.fork_ = find("ret_from_fork_asm");  // 6.6 (3aec4ecb3d1f)
  if (!unwinder.fork_) unwinder.fork_ = find("ret_from_fork");
  unwinder.text_start_ = find("_stext");
  unwinder.text_end_ = find("_etext");
  unwinder.init_start_ = find("_sinittext");
  unwinder.init_end_ = find("_einittext");
  return unwinder;
}

void Unwinder::forget() {
  if (orc_) orc_->forget();
}

std::optional<bool> Unwinder::task_on_cpu(Gva task) const {
  const auto on = on_cpu_.read(*memory_, task);
  if (!on || !*on) return std::nullopt;
  return **on != 0;
}

std::uint64_t Unwinder::activity(Gva task) const {
  std::uint64_t sum = thread_sp_.read(*memory_, task).value_or(Gva{}).value;
  for (const auto* count : {&voluntary_, &involuntary_}) {
    if (const auto value = count->read(*memory_, task); value && *value) sum = sum * 31 + **value;
  }
  return sum;
}

bool Unwinder::is_code(Gva address) const {
  if (address >= text_start_ && address < text_end_) return true;
  if (orc_ ? orc_->describes(address) : address >= init_start_ && address < init_end_) return true;
  // BPF programs and trampolines have names, too.
  if (kernel_ == nullptr || !is_kernel_pointer(address, 1)) return false;
  const auto symbol = kernel_->module_symbols().nearest(address, 64 * kKiB);
  return symbol.has_value();
}

/// Does an indirect branch's thunk (__x86_indirect_thunk_rax and its like) begin here? The kernel
/// gives it no rule, until 6.3 even that of a stack's end; but nothing is pushed at its first
/// instruction, which is its only one where the processor needs no retpoline.
bool Unwinder::starts_branch_thunk(Gva address) const {
  if (kernel_ == nullptr) return false;
  const auto symbol = kernel_->symbols().nearest(address, 1);
  return symbol && symbol->name.find("__x86_indirect_") != std::string_view::npos;
}

KernelStack Unwinder::of_cpu(const x86::Registers& registers, unsigned cpu, Gva task) const {
  KernelStack stack;
  if (registers.privilege() == 3) {
    stack.user = UserState{registers.rip, registers.gpr[x86::kRsp], registers.gpr[x86::kRbp], {}};
    return stack;
  }
  std::vector<StackArea> areas;
  if (areas_) {
    areas = areas_->of_cpu(cpu);
    const auto own = areas_->of_task(task);
    if (own) areas.insert(areas.begin(), *own);
    const Gva sp{registers.gpr[x86::kRsp]};
    const auto holds_it = [&](const StackArea& area) { return area.contains(sp); };
    if (own && std::ranges::none_of(areas, holds_it) && areas_->ends_like_a_tasks(sp, own->size)) {
      stack.frames.push_back(
          {Gva{registers.rip}, true, FrameSource::registers, StackKind::none, sp, true});
      stack.broken = KernelStack::kSwitching;
      return stack;
    }
  }
  return walk(registers, task, areas);
}

KernelStack Unwinder::of_sleeping(Gva task) const {
  KernelStack stack;
  const auto area = areas_ ? areas_->of_task(task) : Result<StackArea>(fail(Errc::not_found));
  const auto sp = thread_sp_.read(*memory_, task);
  // A zombie has given its stack back.
  if (!area && area.error().code == Errc::not_found && areas_) return stack;
  if (!area || !sp) {
    stack.broken = "its stack cannot be found";
    return stack;
  }
  if (!area->contains(*sp)) {
    stack.broken = "its saved stack pointer is not on its stack";
    return stack;
  }
  const auto ip = memory_->load<std::uint64_t>(*sp + layout_.switched_ip);
  const auto bp = memory_->load<std::uint64_t>(*sp + layout_.switched_bp);
  if (!ip || !bp) {
    stack.broken = "its stack cannot be read";
    return stack;
  }
  State state;
  state.ip = *ip;
  state.bp = *bp;
  state.sp = sp->value + layout_.switched_size;
  state.exact = Gva{*ip} == fork_;
  state.source = FrameSource::switched;
  state.task = task;
  state.areas = std::span(&*area, 1);
  return run(state);
}

std::optional<UserState> Unwinder::saved_user_state(Gva task) const {
  const auto area = areas_ ? areas_->of_task(task) : Result<StackArea>(fail(Errc::not_found));
  if (!area) return std::nullopt;
  return linux::saved_user_state(*memory_, layout_, *area);
}

KernelStack Unwinder::walk(const x86::Registers& from, Gva task,
                           std::span<const StackArea> areas) const {
  State state;
  state.ip = from.rip;
  state.sp = from.gpr[x86::kRsp];
  state.bp = from.gpr[x86::kRbp];
  state.own = &from;
  state.task = task;
  state.areas = areas;
  return run(state);
}

KernelStack Unwinder::run(State state) const {
  KernelStack stack;
  state.area = state.area_of(state.sp);
  if (state.area != nullptr) state.entered |= 1U << (state.area - state.areas.data());
  while (stack.frames.size() < kMaxFrames) {
    if (state.user) {
      const auto bp = state.whole
                          ? memory_->load<std::uint64_t>(state.saved + layout_.bp).value_or(0)
                          : state.bp;
      stack.user = UserState{state.ip, state.sp, bp, state.saved};
      return stack;
    }
    if (stack.frames.empty() || is_code(Gva{state.ip})) {
      stack.frames.push_back(state.frame());
    } else {
      stack.broken = "its caller is no code";
      return stack;
    }
    static constexpr std::string_view kEnd = "end";
    const auto why = step(state);
    if (why == kEnd) return stack;
    if (!why.empty()) {
      const bool entry = state.area == nullptr || state.area->kind == StackKind::entry;
      stack.broken = entry ? KernelStack::kEntering : why;
      return stack;
    }
  }
  stack.broken = "it is deeper than any that is walked";
  return stack;
}

/// Goes on to the caller. @returns empty; "end" at the end; else why it cannot
/// The next word that could be a return address, as the kernel's own unwind_guess.c has it.
std::string_view Unwinder::scan(State& state) const {
  const auto* const area = state.area;
  if (area == nullptr) return "its stack is not known";
  for (auto at = state.sp; at + sizeof(std::uint64_t) <= area->end().value; at += 8) {
    const auto word = memory_->load<std::uint64_t>(Gva{at});
    if (!word) return "its stack cannot be read";
    if (!is_code(Gva{*word})) continue;
    state.ip = *word;
    state.sp = at + sizeof(std::uint64_t);
    state.exact = state.reliable = false;
    state.source = FrameSource::guess;
    state.own = nullptr;
    return {};
  }
  return "end";
}

/// Does nothing but the registers lie above, with which its owner entered the kernel, or began?
bool Unwinder::at_first_registers(const State& state) const {
  if (state.area == nullptr || state.area->kind != StackKind::task) return false;
  return std::ranges::any_of(kFreeAboveRegisters, [&](std::uint64_t free) {
    return state.sp == state.area->end().value - free - layout_.size;
  });
}

std::string_view Unwinder::step(State& state) const {
  if (const auto owner = hooks_.owner_of(Gva{state.ip}); !owner.empty() && !state.exact) {
    return "a tracer took the return address, and its record was not found";
  }
  if (scans_) return scan(state);
  const Gva place{state.exact ? state.ip : state.ip - 1};
  OrcRule rule = format::frame_pointer_rule();
  bool guess = true;
  if (orc_) {
    if (const auto found = orc_->find(place)) {
      rule = *found;
      guess = false;
    } else if (found.error().code != Errc::not_found) {
      return "the rule for its code cannot be read";
    }
  } else if (at_first_registers(state)) {
    // Without ORC, a system call leaves no frame pointer for them. A kernel thread's say nothing.
    const auto cs = memory_->load<std::uint64_t>(Gva{state.sp + layout_.cs}).value_or(0);
    rule = {(cs & 3) == 3 ? OrcKind::registers : OrcKind::end,
            OrcBase::sp,
            OrcBase::undefined,
            0,
            0,
            true};
  } else if ((state.bp & 1) != 0) {
    // The entry code of interrupts marks registers on the stack by an odd frame pointer.
    rule = {OrcKind::registers, OrcBase::bp, OrcBase::undefined, -1, 0, true};
  }
  if ((rule.kind == OrcKind::end || rule.kind == OrcKind::undefined) && state.exact &&
      starts_branch_thunk(Gva{state.ip})) {
    rule = {OrcKind::call, OrcBase::sp, OrcBase::undefined, 8, 0, false};
  }
  if (rule.kind == OrcKind::end) return "end";
  if (rule.kind == OrcKind::undefined) return "no rule is known for its code";

  const auto load = [&](std::uint64_t at, std::uint64_t& into) {
    if (state.area_of(at) == nullptr || at > UINT64_MAX - 8) return false;
    const auto value = memory_->load<std::uint64_t>(Gva{at});
    if (value) into = *value;
    return value.has_value();
  };
  const auto reg = [&](x86::Gpr number, std::uint32_t offset, std::uint64_t& into) {
    if (state.own != nullptr) {
      into = state.own->gpr[number];
      return true;
    }
    const Gva from = state.whole ? state.saved : state.saved_before;
    return from.value != 0 && load(from.value + offset, into);
  };

  constexpr std::string_view kOffStack = "it leads off the stacks that are known";
  std::uint64_t sp = 0;
  switch (rule.sp_base) {
    case OrcBase::sp:
      sp = state.sp + static_cast<std::uint64_t>(std::int64_t{rule.sp_offset});
      break;
    case OrcBase::bp:
      sp = state.bp + static_cast<std::uint64_t>(std::int64_t{rule.sp_offset});
      break;
    case OrcBase::sp_indirect:
      if (!load(state.sp, sp)) return kOffStack;
      sp += static_cast<std::uint64_t>(std::int64_t{rule.sp_offset});
      break;
    case OrcBase::bp_indirect:
      if (!load(state.bp + static_cast<std::uint64_t>(std::int64_t{rule.sp_offset}), sp))
        return kOffStack;
      break;
    case OrcBase::r10:
      if (!reg(x86::kR10, layout_.r10, sp)) return "its rule needs R10, which was not saved";
      break;
    case OrcBase::r13:
      if (!reg(x86::kR13, layout_.r13, sp)) return "its rule needs R13, which was not saved";
      break;
    case OrcBase::di:
      if (!reg(x86::kRdi, layout_.di, sp)) return "its rule needs RDI, which was not saved";
      break;
    case OrcBase::dx:
      if (!reg(x86::kRdx, layout_.dx, sp)) return "its rule needs RDX, which was not saved";
      break;
    case OrcBase::undefined:
    case OrcBase::previous_sp:
      return "its rule has no base that is known";
  }

  const auto before = state.sp;
  const auto* const area_before = state.area;
  auto next = state;
  std::uint64_t bp_from_rule = 0;
  bool has_bp = false;
  switch (rule.bp_base) {
    case OrcBase::undefined:
      break;
    case OrcBase::previous_sp:
      has_bp = load(sp + static_cast<std::uint64_t>(std::int64_t{rule.bp_offset}), bp_from_rule);
      if (!has_bp) return kOffStack;
      break;
    case OrcBase::bp:
      has_bp =
          load(state.bp + static_cast<std::uint64_t>(std::int64_t{rule.bp_offset}), bp_from_rule);
      if (!has_bp) return kOffStack;
      break;
    default:
      return "its rule has no base that is known";
  }

  switch (rule.kind) {
    case OrcKind::call: {
      const auto slot = sp - sizeof(std::uint64_t);
      if (!load(slot, next.ip)) return kOffStack;
      next.sp = sp;
      next.source = guess ? FrameSource::guess : FrameSource::call;
      if (!hooks_.owner_of(Gva{next.ip}).empty()) {
        if (const auto original = hooks_.original(state.task, Gva{slot})) {
          next.ip = original->value;
          next.source = FrameSource::hooked;
        }
      }
      next.own = nullptr;
      next.saved = next.saved_before = {};
      next.whole = false;
      break;
    }
    case OrcKind::registers:
    case OrcKind::interrupt_registers: {
      const bool whole = rule.kind == OrcKind::registers;
      const auto at = whole ? sp : sp - layout_.ip;
      std::uint64_t cs = 0;
      if (!load(at + layout_.ip, next.ip) || !load(at + layout_.sp, next.sp) ||
          !load(at + layout_.cs, cs)) {
        return kOffStack;
      }
      if (whole) {
        next.saved_before = {};
      } else if (state.whole) {
        next.saved_before = state.saved;
      }
      next.own = nullptr;
      next.saved = Gva{at};
      next.whole = whole;
      next.user = (cs & 3) == 3;
      next.source = FrameSource::interrupted;
      break;
    }
    case OrcKind::end:
    case OrcKind::undefined:
      return "end";
  }
  next.exact = rule.exact;
  next.reliable = state.reliable && !guess;
  if (has_bp) {
    next.bp = bp_from_rule;
  } else if (next.whole) {
    if (!load(next.saved.value + layout_.bp, next.bp)) return kOffStack;
  } else if (next.saved_before) {
    if (!load(next.saved_before.value + layout_.bp, next.bp)) return kOffStack;
  }
  if (!next.user) {
    next.area = next.area_of(next.sp);
    // A call's frame may end exactly where its stack does.
    if (next.area == nullptr) next.area = next.area_of(next.sp - 1);
    if (next.area == area_before && area_before != nullptr) {
      if (next.sp <= before) return "its stack goes the wrong way";
    } else if (next.area == nullptr) {
      return kOffStack;
    } else {
      const auto bit = 1U << (next.area - next.areas.data());
      if ((next.entered & bit) != 0) return "its stack leads back into itself";
      next.entered |= bit;
    }
  }
  state = next;
  return {};
}

}  // namespace vitrine::linux
