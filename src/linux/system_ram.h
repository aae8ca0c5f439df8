// What RAM the kernel has at this moment, by its own account.
#pragma once

#include <vector>

#include "base/address.h"
#include "base/problem.h"

namespace vitrine::linux {

class Kernel;

/// The stretches that /proc/iomem calls "System RAM", in ascending order: at boot what the firmware
/// told, later what was plugged, too (even if it is not in use yet), without what was unplugged.
/// Of a virtio-mem device, the blocks that it has given.
///
/// @returns not_found  no symbol iomem_resource, no types, or the kernel has not made the tree yet
/// @returns too_large, malformed  more resources than any machine has; one that ends before it
///   begins. Errors as VirtualMemory::read.
/// Cost: a read for each resource.
/// Source: kernel/resource.c: children lie in their parent, siblings follow each other; those in
/// use as RAM have IORESOURCE_SYSTEM_RAM since 4.6 (commit 9babd5c8caa4).
[[nodiscard]] Outcome<std::vector<GpaRange>> read_system_ram(const Kernel& kernel);

}  // namespace vitrine::linux
