// ReturnHooks: return addresses that the kernel itself took from its stacks, to be told when a
// function returns: the function graph tracer's, kretprobes', rethooks'. The stack then holds
// the address of a trampoline; the task remembers what stood there.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "linux/field.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

class Kernel;

class ReturnHooks {
 public:
  static constexpr std::size_t kMaxHooks = 512;  ///< of one task, looked through for one frame

  /// No hook is known.
  ReturnHooks() = default;
  /// What is missing of a kernel makes its hooks known, but their originals not.
  [[nodiscard]] static ReturnHooks open(const Kernel& kernel);

  /// Who puts `address` on stacks: "function graph tracer", "kretprobe"; empty: nobody.
  [[nodiscard]] std::string_view owner_of(Gva address) const;

  /// What stood at `slot` of the stack of `task` before; nothing if no record says so.
  [[nodiscard]] std::optional<Gva> original(Gva task, Gva slot) const;

 private:
  /// A list of records: first member of the task, link, address, and slot within one.
  struct List {
    Field<Gva> first, next, address, slot;
    Embedded link;
  };
  [[nodiscard]] std::optional<Gva> in_list(const List& list, Gva task, Gva slot) const;
  [[nodiscard]] std::optional<Gva> in_graph(Gva task, Gva slot) const;

  const VirtualMemory* memory_ = nullptr;
  struct Trampoline {
    Gva address;
    std::string_view owner;
  };
  std::vector<Trampoline> trampolines_;
  std::vector<List> lists_;
  OptionalField<Gva> graph_;  // task_struct.ret_stack
  std::uint64_t graph_address_ = 0, graph_slot_ = 0;
};

}  // namespace vitrine::linux
