#include "linux/stack/return_hooks.h"

#include <array>
#include <utility>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/walk/walk.h"

namespace vitrine::linux {

ReturnHooks ReturnHooks::open(const Kernel& kernel) {
  ReturnHooks hooks;
  hooks.memory_ = &kernel.memory();
  for (const auto& [symbol, owner] : {std::pair("return_to_handler", "function graph tracer"),
                                      std::pair("kretprobe_trampoline", "kretprobe"),  // until 5.14
                                      std::pair("__kretprobe_trampoline", "kretprobe"),
                                      std::pair("arch_rethook_trampoline", "kretprobe")}) {
    if (const auto at = kernel.symbols().find(symbol)) hooks.trampolines_.push_back({*at, owner});
  }
  const auto& types = kernel.types();
  // Rethooks since 5.18 (54ecbe6f1ed5); before, from 5.11 on, each task has its list of kretprobes.
  const auto list = [&](PathName first, PathName next, PathName link, PathName address,
                        PathName slot) {
    List known;
    FieldBinder bind(types);
    bind(known.first, first);
    bind(known.next, next);
    bind(known.link, link);
    bind(known.address, address);
    bind(known.slot, slot);
    if (bind.done()) hooks.lists_.push_back(std::move(known));
  };
  list("task_struct.rethooks.first", "rethook_node.llist.next", "rethook_node.llist",
       "rethook_node.ret_addr", "rethook_node.frame");
  list("task_struct.kretprobe_instances.first", "kretprobe_instance.llist.next",
       "kretprobe_instance.llist", "kretprobe_instance.ret_addr", "kretprobe_instance.fp");
  if (auto graph = OptionalField<Gva>::from(types, "task_struct.ret_stack")) hooks.graph_ = *graph;
  const auto address = Embedded::from(types, "ftrace_ret_stack.ret");
  const auto slot = Embedded::from(types, "ftrace_ret_stack.retp");
  if (address && slot) {
    hooks.graph_address_ = address->offset().value_or(0);
    hooks.graph_slot_ = slot->offset().value_or(0);
  }
  return hooks;
}

std::string_view ReturnHooks::owner_of(Gva address) const {
  for (const auto& trampoline : trampolines_) {
    if (trampoline.address == address) return trampoline.owner;
  }
  return {};
}

std::optional<Gva> ReturnHooks::original(Gva task, Gva slot) const {
  if (memory_ == nullptr || !task) return std::nullopt;
  for (const auto& list : lists_) {
    const auto found = in_list(list, task, slot);
    if (found && owner_of(*found).empty()) return found;
  }
  const auto found = in_graph(task, slot);
  if (found && owner_of(*found).empty()) return found;
  return std::nullopt;
}

std::optional<Gva> ReturnHooks::in_list(const List& list, Gva task, Gva slot) const {
  auto node = list.first.read(*memory_, task);
  for (std::size_t i = 0; node && is_kernel_pointer(*node) && i < kMaxHooks; ++i) {
    const Gva record = list.link.owner(*node);
    const auto its_slot = list.slot.read(*memory_, record);
    if (its_slot && *its_slot == slot) {
      const auto address = list.address.read(*memory_, record);
      if (address) return *address;
      return std::nullopt;
    }
    node = list.next.read(*memory_, record);
  }
  return std::nullopt;
}

std::optional<Gva> ReturnHooks::in_graph(Gva task, Gva slot) const {
  // Records until 6.10, from 6.11 on records among other words, from the top down (91c46b0aa7db):
  // in both, the word that is the slot lies in a record, and tells where that begins.
  if (graph_slot_ == 0) return std::nullopt;
  const auto start = graph_.find(*memory_, task);
  if (!start || !*start || !is_kernel_pointer(**start)) return std::nullopt;
  std::array<std::uint64_t, kPageSize / 8> words{};
  std::size_t readable = 0;
  for (std::size_t size : {words.size(), words.size() / 2, words.size() / 4}) {
    if (memory_->read(**start, std::as_writable_bytes(std::span(words)).first(size * 8))) {
      readable = size;
      break;
    }
  }
  const auto before =
      static_cast<std::int64_t>(graph_slot_ / 8) - static_cast<std::int64_t>(graph_address_ / 8);
  for (std::size_t i = readable; i-- > 0;) {
    if (words[i] != slot.value) continue;
    const auto at = static_cast<std::int64_t>(i) - before;
    if (at < 0 || at >= static_cast<std::int64_t>(readable)) continue;
    const Gva address{words[static_cast<std::size_t>(at)]};
    if (is_kernel_pointer(address, 1)) return address;
  }
  return std::nullopt;
}

}  // namespace vitrine::linux
