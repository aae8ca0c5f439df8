#include "linux/file_twins.h"

#include <algorithm>
#include <array>

#include "linux/kernel.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

constexpr std::uint16_t kTypeMask = 0170000, kRegular = 0100000;
constexpr std::size_t kMaxSuperblocks = 1U << 16;

}  // namespace

Outcome<FileTwins> FileTwins::open(const Kernel& kernel, const PageCache& cache) {
  FileTwins twins(kernel, cache);
  twins.superblocks_ = TRY(kernel.symbol("super_blocks"));
  Offsets of(kernel.types());
  twins.block_link_ = of.need("super_block.s_list");
  twins.inode_link_ = of.need("inode.i_sb_list");
  if (of.missing()) return std::unexpected(*of.missing());
  FieldBinder bind(kernel.types());
  bind(twins.inodes_, "super_block.s_inodes");
  bind(twins.size_, "inode.i_size");
  bind(twins.mode_, "inode.i_mode");
  bind(twins.links_, "inode.i_nlink");
  bind(twins.mapping_, "inode.i_mapping");
  TRY(bind.done());
  return twins;
}

bool FileTwins::same(const PageCache::Contents& one, const PageCache::Contents& other) const {
  std::array<std::byte, kPageSize> here, there;
  for (std::uint64_t at = 0; at < one.size_bytes; at += kPageSize) {
    const auto size = std::min<std::uint64_t>(kPageSize, one.size_bytes - at);
    const auto a = MutableBytes(here).first(size), b = MutableBytes(there).first(size);
    if (!cache_->read(one, at, a) || !cache_->read(other, at, b) || !std::ranges::equal(a, b))
      return false;
  }
  return true;
}

bool FileTwins::has_twin(const PageCache::Contents& contents) const {
  if (contents.size_bytes == 0 || contents.size_bytes > kMaxBytes) return false;
  const auto& memory = kernel_->memory();
  std::size_t inodes = 0;
  bool found = false;
  (void)walk_list(memory, superblocks_, kMaxSuperblocks, [&](Gva block) {
    (void)walk_list(memory, inodes_.in(block - block_link_), kMaxInodes, [&](Gva node) {
      if (++inodes > kMaxInodes) return false;
      const Gva inode = node - inode_link_;
      const auto size = size_.read(memory, inode);
      if (!size || static_cast<std::uint64_t>(*size) != contents.size_bytes ||
          inode == contents.inode)
        return true;
      const auto mode = mode_.read(memory, inode);
      const auto links = links_.read(memory, inode);
      const auto mapping = mapping_.read(memory, inode);
      if (!mode || (*mode & kTypeMask) != kRegular || !links || *links == 0 || !mapping)
        return true;
      found = same(contents, {*mapping, inode, contents.size_bytes});
      return !found;
    });
    return !found && inodes <= kMaxInodes;
  });
  return found;
}

}  // namespace vitrine::linux
