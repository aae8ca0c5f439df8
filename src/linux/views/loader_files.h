// LoaderFiles: the dynamic loaders that processes have mapped, and whether they are as libc made
// them.
#pragma once

#include <optional>
#include <string>
#include <unordered_set>

#include "linux/page_cache.h"
#include "linux/path.h"
#include "linux/views/maps_areas.h"

namespace vitrine::linux {

class Kernel;

/// Threads: one at a time.
class LoaderFiles {
 public:
  /// @returns not_found  the members that are missing
  [[nodiscard]] static Outcome<LoaderFiles> open(const Kernel& kernel);

  void forget() { seen_.clear(); }

  /// A loader of glibc's that `mm` executes, that none before it had since forget(), and in whose
  /// file the name /etc/ld.so.preload stands nowhere: it reads another file, or none. Nothing is
  /// said of a file that the kernel does not hold whole.
  struct Altered {
    Gva file;  ///< struct file
    std::string path;
  };
  [[nodiscard]] std::optional<Altered> altered(Gva mm);

 private:
  LoaderFiles(const VirtualMemory& memory, maps::AreaFinder areas, PathReader paths,
              PageCache cache, Embedded path)
      : memory_(&memory),
        areas_(std::move(areas)),
        paths_(std::move(paths)),
        cache_(std::move(cache)),
        path_(path) {}
  /// Nothing: it cannot be known.
  [[nodiscard]] std::optional<bool> names_the_file(const PageCache::Contents& contents) const;

  const VirtualMemory* memory_;
  maps::AreaFinder areas_;
  PathReader paths_;
  PageCache cache_;
  Embedded path_;
  std::unordered_set<Gva> seen_;  // address_spaces
};

}  // namespace vitrine::linux
