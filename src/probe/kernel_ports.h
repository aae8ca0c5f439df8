// The language's ports over an attached kernel: its types, its symbols, and our views.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"
#include "linux/view.h"
#include "vmipl/ports.h"

namespace vitrine::probe {

/// vmlinux's types and those of modules, by linux::TypeCatalogue. Threads: one at a time.
class KernelTypes final : public vmipl::TypePort {
 public:
  /// `types` must outlive this.
  explicit KernelTypes(const linux::TypeCatalogue& types) : types_(types) {}

  std::optional<vmipl::GuestType> find(std::string_view name) const override;
  vmipl::GuestShape shape(vmipl::GuestType type) const override;
  std::optional<vmipl::GuestMember> member(vmipl::GuestType structure,
                                           std::string_view name) const override;
  std::vector<std::string> member_names(vmipl::GuestType structure) const override;
  std::optional<std::int64_t> enumerator(std::string_view name) const override;
  std::optional<vmipl::GuestType> variable(std::string_view symbol) const override;
  std::string similar(std::string_view name) const override;

 private:
  [[nodiscard]] vmipl::GuestType intern(btf::Type type) const;
  [[nodiscard]] btf::Type type(vmipl::GuestType number) const;

  const linux::TypeCatalogue& types_;
  mutable std::map<std::string, std::optional<std::int64_t>, std::less<>>
      enumerators_;  ///< asked for
  mutable std::vector<btf::Type> interned_;
  mutable std::unordered_map<std::uint32_t, std::vector<std::uint32_t>>
      by_id_;  ///< numbers repeat between modules
};

/// The kernel's symbols, and its modules'.
class KernelSymbols final : public vmipl::SymbolPort {
 public:
  explicit KernelSymbols(const linux::Kernel& kernel) : kernel_(kernel) {}
  std::optional<std::uint64_t> find(std::string_view name) const override;
  std::size_t count(std::string_view glob, std::size_t most) const override;
  std::string similar(std::string_view name) const override;

 private:
  const linux::Kernel& kernel_;
};

class LinuxViews final : public vmipl::ViewPort {
 public:
  explicit LinuxViews(std::span<const linux::View* const> views = linux::views()) : views_(views) {}
  std::optional<std::vector<vmipl::ViewColumn>> columns(std::string_view view) const override;
  std::vector<std::string> names() const override;

 private:
  std::span<const linux::View* const> views_;
};

/// The three together. `kernel` must outlive them.
class KernelPorts {
 public:
  explicit KernelPorts(const linux::Kernel& kernel)
      : kernel_types_(kernel.types()), symbols_(kernel), has_types_(kernel.has_types()) {}
  /// Types are null for a kernel without BTF.
  [[nodiscard]] vmipl::Ports ports() const {
    return {has_types_ ? &kernel_types_ : nullptr, &symbols_, &views_};
  }

 private:
  KernelTypes kernel_types_;
  KernelSymbols symbols_;
  LinuxViews views_;
  bool has_types_;
};

}  // namespace vitrine::probe
