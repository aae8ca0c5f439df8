// The network namespaces, and the devices in each.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/problem.h"
#include "linux/field.h"
#include "linux/walk/walk.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {
class Kernel;
}

namespace vitrine::linux::net {

struct NetNamespace {
  Gva address;             ///< struct net
  std::int64_t inode = 0;  ///< as `readlink /proc/PID/ns/net` shows it
};

/// Finds namespaces and devices. Threads: one at a time.
class NetNamespaces {
 public:
  /// At most this many namespaces, and devices in one, are looked at.
  static constexpr std::size_t kLimit = 1 << 16;

  /// @returns not_found  net_namespace_list, or a member without which nothing is found
  [[nodiscard]] static Outcome<NetNamespaces> open(const Kernel& kernel);

  /// All of net_namespace_list, the initial one first: those that no process is in, too.
  [[nodiscard]] Walked list(std::vector<NetNamespace>& namespaces) const;

  /// The namespace at `net`, which need not be in the list (one being taken down).
  [[nodiscard]] Result<NetNamespace> at(Gva net) const;

  /// Visits the net_devices of `net`, in the order in which they came.
  [[nodiscard]] Walked devices(Gva net, const std::function<bool(Gva)>& visit) const;

  /// "eth0"; nothing if `net` has no such device. Names are read once a namespace.
  [[nodiscard]] std::optional<std::string> device_name(Gva net, std::int32_t index) const;
  void forget() { names_.clear(); }

 private:
  const Kernel* kernel_ = nullptr;
  Gva list_;
  Embedded net_list_, net_devices_, device_list_;
  Field<std::uint32_t> inode_;
  Field<std::int32_t> device_index_;
  Field<std::string> device_name_;
  mutable std::unordered_map<Gva, std::unordered_map<std::int32_t, std::string>> names_;
};

/// A symbol of vmlinux, or of a module: what is built in here is a module there.
[[nodiscard]] std::optional<Gva> find_symbol(const Kernel& kernel, std::string_view name);

}  // namespace vitrine::linux::net
