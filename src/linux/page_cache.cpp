#include "linux/page_cache.h"

#include <algorithm>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kMaxFolioPages = 1u << 18;  // 1 GiB

}  // namespace

Outcome<PageCache> PageCache::open(const Kernel& kernel) {
  PageCache cache(kernel);
  const auto& types = kernel.types();
  FieldBinder bind(types);
  bind(cache.mapping_, "file.f_mapping");
  bind(cache.host_, "address_space.host");
  bind(cache.size_, "inode.i_size");
  bind(cache.head_, "address_space.i_pages.xa_head");
  bind(cache.page_index_, {"folio.index", "page.index"});
  TRY(bind.done());
  cache.tree_ = XArrayLayout::of(types);
  cache.page_size_ = TRY(types.size_of("page"));
  if (!kernel.identity().vmemmap || cache.page_size_ == 0) {
    return std::unexpected(
        Problem(Errc::not_found, "where the array of struct page lies is unknown"));
  }
  return cache;
}

Result<PageCache::Contents> PageCache::of_file(Gva file) const {
  const auto& memory = kernel_->memory();
  Contents contents;
  contents.mapping = TRY(mapping_.read(memory, file));
  if (!is_kernel_pointer(contents.mapping))
    return fail(Errc::implausible, file.value, "file.f_mapping");
  contents.inode = TRY(host_.read(memory, contents.mapping));
  if (!is_kernel_pointer(contents.inode))
    return fail(Errc::implausible, contents.mapping.value, "address_space.host");
  const auto size = TRY(size_.read(memory, contents.inode));
  if (size < 0) return fail(Errc::implausible, contents.inode.value, "inode.i_size");
  contents.size_bytes = static_cast<std::uint64_t>(size);
  return contents;
}

Result<Gpa> PageCache::page(const Contents& contents, std::uint64_t index) const {
  const auto& memory = kernel_->memory();
  const auto head = TRY(head_.read(memory, contents.mapping));
  const auto entry = TRY(find_in_xarray(memory, tree_, head.value, index));
  // 0: never read; odd: a note about a page that was dropped.
  if (entry == 0 || (entry & 1) != 0)
    return fail(Errc::not_present, contents.mapping.value, "page cache");
  const Gva folio{entry};
  const auto vmemmap = kernel_->identity().vmemmap;
  if (!is_kernel_pointer(folio) || folio < vmemmap || (folio - vmemmap) % page_size_ != 0) {
    return fail(Errc::malformed, entry, "a page of the page cache");
  }
  // A folio stands for all its pages, with the index of its first.
  const auto first = TRY(page_index_.read(memory, folio));
  if (first > index || index - first >= kMaxFolioPages)
    return fail(Errc::malformed, entry, "page.index");
  const auto frame = (folio - vmemmap) / page_size_ + (index - first);
  return Gpa{frame * kPageSize};
}

Result<void> PageCache::read(const Contents& contents, std::uint64_t offset,
                             MutableBytes into) const {
  if (offset > contents.size_bytes || into.size() > contents.size_bytes - offset) {
    return fail(Errc::out_of_bounds, offset, "file");
  }
  while (!into.empty()) {
    const auto within = offset % kPageSize;
    const auto size = std::min<std::uint64_t>(into.size(), kPageSize - within);
    const auto at = TRY(page(contents, offset / kPageSize));
    TRY(kernel_->ram().read(at + within, into.first(size)));
    into = into.subspan(size);
    offset += size;
  }
  return {};
}

}  // namespace vitrine::linux
