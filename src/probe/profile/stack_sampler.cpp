#include "probe/profile/stack_sampler.h"

#include <fmt/core.h>

#include <algorithm>

#include "linux/stack/frame_names.h"
#include "linux/type_catalogue.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMaxNames = 1u << 16;

/// "main+0x12" as "main": a profile counts functions.
std::string function_of(std::string symbol) {
  const auto plus = symbol.rfind("+0x");
  if (plus != std::string::npos) symbol.resize(plus);
  return symbol;
}

std::string file_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

}  // namespace

Outcome<StackSampler> StackSampler::open(const linux::Kernel& kernel, Options options) {
  StackSampler sampler(kernel, options, TRY(SampledCpu::open(kernel, options.stopped)));
  linux::FieldBinder bind(kernel.types());
  bind(sampler.comm_, "task_struct.comm");
  TRY(bind.done());
  if (options.user) sampler.user_ = TRY(linux::UserStacks::open(kernel));
  return sampler;
}

void StackSampler::forget() {
  sampled_.forget();
  names_.clear();
  if (user_) user_->forget();
}

const std::string& StackSampler::name_of(const linux::StackFrame& frame) {
  const std::pair key(frame.address.value, frame.exact);
  if (const auto known = names_.find(key); known != names_.end()) return known->second;
  if (names_.size() >= kMaxNames) names_.clear();
  const auto name = linux::name_frame(*kernel_, frame.address, frame.exact);
  auto text =
      name.symbol.empty() ? fmt::format("{:#x}", frame.address.value) : function_of(name.symbol);
  if (!name.module.empty()) text += fmt::format(" [{}]", name.module);
  return names_.emplace(key, text + "_[k]").first->second;
}

void StackSampler::take(std::span<const x86::Registers> registers, StackCounts& into) {
  // Once for all: where a CPU is found by its GS base, the others must not be taken for it.
  for (unsigned cpu = 0; cpu < kernel_->cpu_count(); ++cpu) {
    if (!sampled_.current().online(cpu)) continue;
    if (const auto* own = sampled_.current().registers_of(registers, cpu))
      take_one(*own, cpu, into);
  }
}

void StackSampler::take_one(const x86::Registers& registers, unsigned cpu, StackCounts& into) {
  if (registers.halted) {
    ++tally_.idle;
    if (!options_.idle) return;
  }
  const auto seen = sampled_.look(registers, cpu);
  const auto comm =
      seen ? comm_.read(kernel_->memory(), seen->task) : Result<std::string>(fail(Errc::not_found));
  if (!comm) {
    ++tally_.torn;
    return;
  }
  const auto& kernel = seen->stack;
  std::vector<std::string> stack{*comm};
  if (user_ && kernel.user) {
    const auto user = user_->read(seen->task, *kernel.user);
    if (user) {
      for (auto frame = user->frames.rbegin(); frame != user->frames.rend(); ++frame) {
        if (!frame->symbol.empty()) {
          stack.push_back(function_of(frame->symbol));
        } else if (!frame->file.empty()) {
          stack.push_back(fmt::format("[{}]", file_name(frame->file)));
        } else {
          stack.emplace_back("[unknown]");
        }
      }
    }
  }
  if (!kernel.broken.empty()) {
    ++tally_.incomplete;
    stack.emplace_back("[incomplete]");
  }
  for (auto frame = kernel.frames.rbegin(); frame != kernel.frames.rend(); ++frame)
    stack.push_back(name_of(*frame));
  ++tally_.counted;
  into.add(stack);
}

}  // namespace vitrine::probe
