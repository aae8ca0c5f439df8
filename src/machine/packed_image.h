// Images whose memory is packed: kdump-compressed dumps, AVML's compressed images.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/problem.h"
#include "machine/dump_notes.h"
#include "memory/decoded_memory.h"
#include "memory/file_descriptor.h"
#include "memory/guarded_mapping.h"

namespace vitrine {

struct PackedImage {
  std::unique_ptr<const PackedPages> pages;
  DumpNotes notes;
  std::string words;  ///< what it is, as `info` says it
  std::vector<std::string> warnings;
};

/// @param view  the whole of `file`.
/// @returns malformed, unsupported, out_of_bounds, too_large  as format::Kdump::open()
[[nodiscard]] Outcome<PackedImage> open_kdump(const std::string& path, FileDescriptor file,
                                              GuardedMapping view);

/// @returns malformed, unsupported, too_large  as format::parse_avml(); malformed: ranges overlap
[[nodiscard]] Outcome<PackedImage> open_avml(const std::string& path, FileDescriptor file,
                                             GuardedMapping view);

}  // namespace vitrine
