#include "linux/views/loader_files.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "linux/kernel.h"
#include "linux/type_catalogue.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kExecuted = 4;          // VM_EXEC
constexpr std::uint64_t kMaxLoader = 4 * kMiB;  // with its debug symbols 2
constexpr std::string_view kPreload("/etc/ld.so.preload\0", 19);

/// ld-linux-x86-64.so.2, ld-linux.so.2; ld-2.31.so up to glibc 2.33. musl's reads no such file.
bool is_loader(std::string_view name) {
  return name.starts_with("ld-linux") || name.starts_with("ld-2.");
}

}  // namespace

Outcome<LoaderFiles> LoaderFiles::open(const Kernel& kernel) {
  auto areas = TRY(maps::AreaFinder::open(kernel));
  auto paths = TRY(PathReader::open(kernel));
  auto cache = TRY(PageCache::open(kernel));
  const auto path = TRY(Embedded::from(kernel.types(), "file.f_path"));
  return LoaderFiles(kernel.memory(), std::move(areas), std::move(paths), std::move(cache), path);
}

std::optional<LoaderFiles::Altered> LoaderFiles::altered(Gva mm) {
  Gva last;
  for (const auto& area : areas_.find(mm).areas) {
    if (!area.file || (area.flags & kExecuted) == 0 || area.file == last) continue;
    last = area.file;
    const auto point = paths_.point_at(path_.in(area.file));
    const auto name = point ? paths_.name_of(point->dentry) : std::unexpected(point.error());
    if (!name || !is_loader(*name)) continue;
    const auto contents = cache_.of_file(area.file);
    if (!contents || !seen_.insert(contents->mapping).second) continue;
    const auto named = names_the_file(*contents);
    if (!named || *named) continue;
    auto path = paths_.text(*point);
    return Altered{area.file, path ? std::move(path->text) : *name};
  }
  return std::nullopt;
}

std::optional<bool> LoaderFiles::names_the_file(const PageCache::Contents& contents) const {
  if (contents.size_bytes == 0 || contents.size_bytes > kMaxLoader) return std::nullopt;
  std::string text(contents.size_bytes, '\0');
  bool whole = true;
  for (std::uint64_t at = 0; at < text.size(); at += kPageSize) {
    const auto piece = std::as_writable_bytes(std::span(text)).subspan(at);
    whole = cache_.read(contents, at, piece.first(std::min(piece.size(), kPageSize))) && whole;
  }
  if (text.find(kPreload) != std::string::npos) return true;
  return whole ? std::optional(false) : std::nullopt;
}

}  // namespace vitrine::linux
