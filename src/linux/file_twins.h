// FileTwins: is a file without a name (a memfd) a copy of one that has a name?
//
// Container runtimes (runc, crun, LXC) copy themselves into a memfd and execute that, so that a
// container cannot write their file. What such a copy says is nothing new: the same bytes lie in
// the file system, to be looked at there. A program that is in no file is what memfds are abused
// for.
#pragma once

#include "base/problem.h"
#include "linux/field.h"
#include "linux/page_cache.h"

namespace vitrine::linux {

class Kernel;

/// Threads: one at a time.
class FileTwins {
 public:
  static constexpr std::size_t kMaxInodes = 1U << 20;  ///< looked at for one answer
  static constexpr std::uint64_t kMaxBytes = 256ULL << 20;

  /// @returns not_found  a member or symbol that this kernel lacks; the message names it
  [[nodiscard]] static Outcome<FileTwins> open(const Kernel& kernel, const PageCache& cache);

  /// Whether a regular file that has a name is of that size and has the same bytes in each page;
  /// all of both must be in the page cache. What cannot be read is no twin. Cost: two reads for
  /// each inode that the guest has in memory (20 ms for 50,000), and both files.
  [[nodiscard]] bool has_twin(const PageCache::Contents& contents) const;

 private:
  FileTwins(const Kernel& kernel, const PageCache& cache) : kernel_(&kernel), cache_(&cache) {}
  [[nodiscard]] bool same(const PageCache::Contents& one, const PageCache::Contents& other) const;

  const Kernel* kernel_;
  const PageCache* cache_;
  Gva superblocks_;
  Embedded inodes_;  // super_block.s_inodes
  std::uint64_t block_link_ = 0, inode_link_ = 0;
  Field<std::int64_t> size_;
  Field<std::uint16_t> mode_;
  Field<std::uint32_t> links_;
  Field<Gva> mapping_;
};

}  // namespace vitrine::linux
