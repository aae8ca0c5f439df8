// TypeCatalogue: the guest kernel's own types, by name.
//
// vmlinux's BTF and, upon it, the split BTF of as many modules as were read. What is
// handed out are btf::Type handles (format/btf.h): size(), members(), find_member(),
// parameters() ... valid while the catalogue lives.
//
// To read memory through these types, see linux/field.h. To print them,
// linux/type_format.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "format/btf.h"

namespace vitrine::linux {

/// Names are written as in C: "task_struct", "struct task_struct", "union sigval",
/// "enum pid_type", "pid_t", "unsigned long". Without struct, union or enum before it,
/// a name is a struct's, else a union's, a typedef's, an enumeration's, a base type's.
/// vmlinux is searched before the modules, those in the order they were added;
/// "nf_conntrack:nf_conn" searches one module alone. Where a kernel has several types of one name
/// and kind, the first counts (find_all() has them all).
///
/// Threads: free to share while no module is added.
class TypeCatalogue {
 public:
  /// No type has a name: a kernel without BTF.
  TypeCatalogue() = default;
  explicit TypeCatalogue(std::shared_ptr<const btf::Btf> vmlinux) : vmlinux_(std::move(vmlinux)) {}

  /// Parses vmlinux's blob. Errors as btf::Btf::parse().
  [[nodiscard]] static Result<TypeCatalogue> parse(std::vector<std::byte> vmlinux);

  /// Parses a module's split BTF and adds its types.
  /// Errors as btf::Btf::parse(); @returns invalid  there is no vmlinux to build upon.
  [[nodiscard]] Result<void> add_module(std::string name, std::vector<std::byte> blob);

  [[nodiscard]] bool empty() const noexcept { return vmlinux_ == nullptr; }
  [[nodiscard]] const std::shared_ptr<const btf::Btf>& vmlinux() const noexcept { return vmlinux_; }
  [[nodiscard]] bool has_module(std::string_view name) const noexcept;

  [[nodiscard]] std::optional<btf::Type> find(std::string_view name) const;
  /// Every type that find() might have meant.
  [[nodiscard]] std::vector<btf::Type> find_all(std::string_view name) const;
  /// As find(), with words. @returns not_found  "this kernel has no type task_strukt; there is
  /// task_struct"
  [[nodiscard]] Outcome<btf::Type> type(std::string_view name) const;

  /// Bytes: size_of("task_struct"). @returns not_found
  [[nodiscard]] Outcome<std::uint64_t> size_of(std::string_view type) const;

  /// An enumerator's value: "PIDTYPE_MAX". Cost: about 0.2 ms; ask once.
  [[nodiscard]] std::optional<std::int64_t> find_enumerator(std::string_view name) const;
  /// As find_enumerator(), with words.
  [[nodiscard]] Outcome<std::int64_t> enumerator(std::string_view name) const;

  /// The prototype of a kernel function: parameters() and target(), the return type.
  [[nodiscard]] std::optional<btf::Type> find_function(std::string_view name) const;
  /// A variable's type, as declared. Up to 6.x, vmlinux's BTF has the per-CPU variables alone:
  /// find_variable("runqueues") is `struct rq`.
  [[nodiscard]] std::optional<btf::Type> find_variable(std::string_view name) const;

  /// A forward declaration's definition, if any blob has one; else the type as it is.
  [[nodiscard]] btf::Type defined(btf::Type type) const;

  /// Type names closest to a mistyped one, best first. Cost: milliseconds.
  [[nodiscard]] std::vector<std::string> similar(std::string_view name, std::size_t most = 3) const;

 private:
  struct Module {
    std::string name;
    std::shared_ptr<const btf::Btf> btf;
  };
  template <class Use>
  void each_blob(std::string_view module, Use&& use) const;

  std::shared_ptr<const btf::Btf> vmlinux_;
  std::vector<Module> modules_;
};

}  // namespace vitrine::linux
