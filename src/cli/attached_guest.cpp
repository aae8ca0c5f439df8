#include "cli/attached_guest.h"

#include <fmt/core.h>

#include "linux/boot_watch.h"
#include "linux/field_value.h"
#include "linux/type_catalogue.h"
#include "linux/type_format.h"
#include "linux/type_path.h"

namespace vitrine::cli {
namespace {

class AttachedGuest final : public Guest {
 public:
  explicit AttachedGuest(std::unique_ptr<linux::Kernel> kernel) : kernel_(std::move(kernel)) {}

  [[nodiscard]] const linux::Identity& identity() const override { return kernel_->identity(); }
  [[nodiscard]] const linux::Health& health() const override { return kernel_->health(); }
  [[nodiscard]] const linux::SymbolTable& symbols() const override { return kernel_->symbols(); }
  [[nodiscard]] const linux::SymbolTable& module_symbols() const override {
    return kernel_->module_symbols();
  }

  [[nodiscard]] const linux::Kernel* kernel() const override { return kernel_.get(); }
  [[nodiscard]] const linux::TypeCatalogue& types() const override { return kernel_->types(); }

  [[nodiscard]] Outcome<std::string> describe_type(std::string_view path) const override {
    const auto& types = kernel_->types();
    if (types.empty()) {
      return std::unexpected(
          Problem(Errc::not_found, "this kernel carries no types of its own (BTF)",
                  "it was built without CONFIG_DEBUG_INFO_BTF; vitrine info says more"));
    }
    if (path.find_first_of(".[") == std::string_view::npos &&
        path.find("->") == std::string_view::npos) {
      return linux::format_type(TRY(types.type(path)));
    }
    const auto member = TRY(linux::MemberPath::compile(types, path));
    return describe_member(member);
  }

  [[nodiscard]] const VirtualMemory& memory() const override { return kernel_->memory(); }

  [[nodiscard]] Outcome<std::unique_ptr<VirtualMemory>> process_memory(Gva task) const override {
    const auto path = TRY(linux::MemberPath::compile(kernel_->types(), "task_struct.mm"));
    const auto value = linux::read_value(kernel_->memory(), task, path);
    if (!value) return std::unexpected(Problem(value.error()));
    const auto* mm = std::get_if<Gva>(&*value);
    if (mm == nullptr || !*mm) {
      return std::unexpected(Problem(Errc::not_found, "this process has no memory of its own",
                                     "it is a kernel thread, or about to end"));
    }
    const auto root = kernel_->user_root(*mm);
    if (!root) return std::unexpected(Problem(root.error()));
    return std::make_unique<x86::AddressSpace>(kernel_->ram(), *root);
  }

  [[nodiscard]] Outcome<std::unique_ptr<linux::ViewReader>> open(
      const linux::View& view) const override {
    return view.open(*kernel_);
  }
  void refresh() override { kernel_->refresh(); }
  [[nodiscard]] bool still_there() const override { return boot_.same(); }

 private:
  std::unique_ptr<linux::Kernel> kernel_;
  mutable linux::BootWatch boot_{*kernel_};

  /// The way to the member, then what it is.
  static std::string describe_member(const linux::MemberPath& member) {
    const auto& route = member.route();
    std::string text = fmt::format("/* {}:", member.text());
    for (unsigned i = 0; i < route.hop_count; ++i) {
      text += fmt::format(" pointer at {:#x},{}", route.hops[i],
                          i + 1 == route.hop_count ? " then" : "");
    }
    text += fmt::format(" offset {} ({:#x})", route.offset, route.offset);
    if (route.bit_width != 0)
      text +=
          fmt::format(", bits {} to {}", route.bit_shift, route.bit_shift + route.bit_width - 1);
    text += fmt::format(", size {} */\n", route.size);
    const auto dot = member.text().find_last_of(".>");
    auto name = std::string_view(member.text()).substr(dot == std::string::npos ? 0 : dot + 1);
    name = name.substr(0, name.find('['));
    const auto declared = linux::declaration(member.type(), name) + ";\n";
    const auto whole = linux::format_type(member.type());
    return text + declared + (whole.find('{') == std::string::npos ? "" : "\n" + whole);
  }
};

}  // namespace

Outcome<std::unique_ptr<Guest>> attach_guest(const Machine& machine, bool cache) {
  linux::AttachOptions options;
  if (cache) options.cache_directory = linux::default_cache_directory();
  auto kernel = TRY(linux::Kernel::attach(machine, options));
  return std::make_unique<AttachedGuest>(std::move(kernel));
}

}  // namespace vitrine::cli
