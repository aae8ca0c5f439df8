// World: what commands ask of the floors below. The real one attaches to machines; tests
// bring their own, so that every command runs, from its words to its exit status,
// without a guest.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/view.h"
#include "machine/machine.h"

namespace vitrine::cli {

/// A running machine, as `vitrine vms` lists it.
struct MachineEntry {
  std::string name;
  std::int64_t pid = 0;
  std::string user;                ///< who runs it
  std::string architecture;        ///< "x86_64"; empty if its program does not say
  std::uint64_t memory_bytes = 0;  ///< 0: unknown
  unsigned cpus = 0;               ///< 0: unknown
  std::string accelerator;         ///< "kvm", "tcg"
  std::string monitor;             ///< path of its QMP socket; empty if none can be reached
  std::string ram;                 ///< how its RAM would be reached; empty if not at all
  std::string remark;              ///< why not, or why not better, and what to do
};

/// An attached kernel, as far as commands need it.
class Guest {
 public:
  Guest() = default;
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  virtual ~Guest() = default;

  [[nodiscard]] virtual const linux::Identity& identity() const = 0;
  [[nodiscard]] virtual const linux::Health& health() const = 0;
  [[nodiscard]] virtual const linux::SymbolTable& symbols() const = 0;
  [[nodiscard]] virtual const linux::SymbolTable& module_symbols() const = 0;
  /// The kernel behind it, for those who run programs; null in tests that have none.
  [[nodiscard]] virtual const linux::Kernel* kernel() const { return nullptr; }
  /// vmlinux's own types; empty for a kernel without BTF.
  [[nodiscard]] virtual const linux::TypeCatalogue& types() const = 0;
  /// A kernel structure as C declares it, or one member of it: "task_struct.mm".
  [[nodiscard]] virtual Outcome<std::string> describe_type(std::string_view path) const = 0;

  [[nodiscard]] virtual const VirtualMemory& memory() const = 0;
  /// The memory of the process whose task_struct lies at `task`.
  /// @returns not_found  it has none: a kernel thread, or about to end
  [[nodiscard]] virtual Outcome<std::unique_ptr<VirtualMemory>> process_memory(Gva task) const = 0;

  [[nodiscard]] virtual Outcome<std::unique_ptr<linux::ViewReader>> open(
      const linux::View& view) const = 0;
  /// Call it before a new look.
  virtual void refresh() = 0;
  [[nodiscard]] virtual bool still_there() const = 0;
};

class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;

  [[nodiscard]] virtual Outcome<std::vector<MachineEntry>> machines() const = 0;
  /// A name, a pid, the path of a QMP socket or of an image.
  [[nodiscard]] virtual Outcome<std::unique_ptr<Machine>> open_machine(
      std::string_view vm) const = 0;
  /// `machine` must outlive the guest.
  [[nodiscard]] virtual Outcome<std::unique_ptr<Guest>> attach(const Machine& machine,
                                                               bool cache) const = 0;
  [[nodiscard]] virtual std::span<const linux::View* const> views() const = 0;
};

}  // namespace vitrine::cli
