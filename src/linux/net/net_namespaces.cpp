#include "linux/net/net_namespaces.h"

#include "linux/kernel.h"
#include "linux/walk/list.h"

namespace vitrine::linux::net {

std::optional<Gva> find_symbol(const Kernel& kernel, std::string_view name) {
  if (auto found = kernel.symbols().find(name)) return found;
  return kernel.module_symbols().find(name);
}

Outcome<NetNamespaces> NetNamespaces::open(const Kernel& kernel) {
  NetNamespaces net;
  net.kernel_ = &kernel;
  net.list_ = TRY(kernel.symbol("net_namespace_list"));
  FieldBinder bind(kernel.types());
  bind(net.net_list_, "net.list");
  bind(net.net_devices_, "net.dev_base_head");
  bind(net.inode_, "net.ns.inum");
  bind(net.device_list_, "net_device.dev_list");
  bind(net.device_index_, "net_device.ifindex");
  bind(net.device_name_, "net_device.name");
  if (auto done = bind.done(); !done) return std::unexpected(std::move(done.error()));
  return net;
}

Walked NetNamespaces::list(std::vector<NetNamespace>& namespaces) const {
  std::optional<Error> unreadable;
  auto walked = walk_list(kernel_->memory(), list_, kLimit, [&](Gva node) {
    const Gva net = net_list_.owner(node);
    if (auto found = at(net)) {
      namespaces.push_back(*found);
    } else {
      unreadable = found.error();
    }
    return true;
  });
  if (!walked.broken) walked.broken = unreadable;
  return walked;
}

Result<NetNamespace> NetNamespaces::at(Gva net) const {
  return NetNamespace{net, TRY(inode_.read(kernel_->memory(), net))};
}

Walked NetNamespaces::devices(Gva net, const std::function<bool(Gva)>& visit) const {
  return walk_list(kernel_->memory(), net_devices_.in(net), kLimit,
                   [&](Gva node) { return visit(device_list_.owner(node)); });
}

std::optional<std::string> NetNamespaces::device_name(Gva net, std::int32_t index) const {
  const auto [entry, is_new] = names_.try_emplace(net);
  auto& names = entry->second;
  if (is_new) {
    // What cannot be reached has no name here; the interfaces view says why.
    (void)devices(net, [&](Gva device) {
      const auto number = device_index_.read(kernel_->memory(), device);
      auto name = device_name_.read(kernel_->memory(), device);
      if (number && name) names.try_emplace(*number, *std::move(name));
      return true;
    });
  }
  const auto found = names.find(index);
  if (found == names.end()) return std::nullopt;
  return found->second;
}

}  // namespace vitrine::linux::net
