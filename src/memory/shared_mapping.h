// SharedMapping: guest RAM that lies in files, mapped read-only.
//
// Serves both a live machine whose RAM is a file others can map (a memfd,
// memory-backend-file with share=on) and every memory image on disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "memory/file_descriptor.h"
#include "memory/guarded_mapping.h"
#include "memory/memory_map.h"
#include "memory/physical_memory.h"

namespace vitrine {

/// Opens a file for reading, and for nothing else.
/// @returns not_found, denied, io
[[nodiscard]] Result<FileDescriptor> open_for_reading(const std::string& path);

/// Cost: 8 random bytes about 0.1 us, sequentially memory bandwidth; window() is
/// free. Reading a page that nobody touched yet makes the host give it to the file
/// (zeros); next_populated() finds the touched ones without that.
class SharedMapping final : public PhysicalMemory {
 public:
  /// `map`'s backing numbers index `files`, its offsets are bytes into them. The
  /// files must be open for reading; they are kept open.
  /// @returns out_of_bounds  a segment leaves its file or names no file.
  /// @returns denied, io, too_large  as GuardedMapping::map().
  [[nodiscard]] static Result<std::unique_ptr<SharedMapping>> create(
      std::vector<FileDescriptor> files, MemoryMap map);

  [[nodiscard]] std::span<const GpaRange> ram() const noexcept override { return map_.ranges(); }
  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override;
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override;

  /// False once a file has become shorter than its map. Cost: an fstat per file.
  [[nodiscard]] bool intact() const noexcept;

 private:
  struct File {
    FileDescriptor descriptor;
    GuardedMapping mapping;
  };
  SharedMapping(std::vector<File> files, MemoryMap map)
      : files_(std::move(files)), map_(std::move(map)) {}

  std::vector<File> files_;
  MemoryMap map_;
};

}  // namespace vitrine
