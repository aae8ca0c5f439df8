// A memory image as a Machine.
#pragma once

#include <memory>
#include <string>

#include "machine/machine.h"

namespace vitrine {

/// Opens a memory image: an ELF core (QEMU's dump-guest-memory with and without paging,
/// kdump's vmcore), a LiME file, a kdump-compressed dump, a compressed AVML image, or raw bytes.
/// The kind is told by the first bytes. The file is opened read-only and mapped; it may be larger
/// than this host's memory.
///
/// A raw file says nothing of the guest's map. Where it is larger than 2 GiB its bytes
/// may be the address space itself (pmemsave), or the machine's RAM without the hole below
/// 4 GiB (a copied memory-backend-file): layouts() lists the readings, the likeliest first,
/// and `layout` chooses one.
///
/// @returns not_found, denied, io  as the file
/// @returns unsupported  a known format that is not read here (a diskdump, qcow2,
///                       gzip ...): it is named, with what to do
/// @returns malformed    an ELF that is no core, broken headers, too small, no bytes of RAM
/// @returns invalid      there is no such layout
[[nodiscard]] Outcome<std::unique_ptr<Machine>> open_image(const std::string& path,
                                                           std::size_t layout = 0);

}  // namespace vitrine
