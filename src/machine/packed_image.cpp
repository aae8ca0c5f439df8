#include "machine/packed_image.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "format/avml.h"
#include "format/kdump.h"
#include "machine/size_words.h"

namespace vitrine {
namespace {

struct File {
  FileDescriptor descriptor;
  GuardedMapping view;

  [[nodiscard]] bool intact() const noexcept {
    struct stat status{};
    return !view.lost() && ::fstat(descriptor.get(), &status) == 0 &&
           static_cast<std::uint64_t>(status.st_size) >= view.bytes().size();
  }
};

std::unexpected<Problem> unreadable(const std::string& path, const Error& error) {
  return std::unexpected(
      Problem(error.code, fmt::format("cannot read the image {}: {}", path, describe(error))));
}

class KdumpPages final : public PackedPages {
 public:
  KdumpPages(File file, format::Kdump dump) : file_(std::move(file)), dump_(std::move(dump)) {}

  [[nodiscard]] std::span<const GpaRange> ranges() const noexcept override {
    return dump_.ranges();
  }
  [[nodiscard]] GpaRange piece_of(Gpa at) const noexcept override {
    return {Gpa{at.value & ~(dump_.block_size() - 1)}, dump_.block_size()};
  }
  Result<void> unpack(GpaRange piece, MutableBytes into) const override {
    return dump_.read_page(piece.start.value / dump_.block_size(), into);
  }
  [[nodiscard]] bool intact() const noexcept override { return file_.intact(); }

 private:
  File file_;
  format::Kdump dump_;
};

class AvmlPages final : public PackedPages {
 public:
  /// @param chunks  sorted, without overlap.
  AvmlPages(File file, std::vector<format::AvmlChunk> chunks)
      : file_(std::move(file)), chunks_(std::move(chunks)) {
    for (const auto& chunk : chunks_) {
      if (!ranges_.empty() && ranges_.back().end() == chunk.range.start)
        ranges_.back().size += chunk.range.size;
      else
        ranges_.push_back(chunk.range);
    }
  }

  [[nodiscard]] std::span<const GpaRange> ranges() const noexcept override { return ranges_; }
  [[nodiscard]] GpaRange piece_of(Gpa at) const noexcept override { return chunk_of(at).range; }
  Result<void> unpack(GpaRange piece, MutableBytes into) const override {
    const auto& chunk = chunk_of(piece.start);
    const auto packed = slice(file_.view.bytes(), chunk.file_offset, chunk.packed_size);
    if (!packed) return fail(Errc::malformed, piece.start.value, "AVML: a piece of memory");
    // A copy: decoders read a length twice, and whoever may write the file may change it between.
    const std::vector<std::byte> kept(packed->begin(), packed->end());
    if (!format::decompress(chunk.how, kept, into))
      return fail(Errc::malformed, piece.start.value, "AVML: a piece of memory");
    return {};
  }
  [[nodiscard]] bool intact() const noexcept override { return file_.intact(); }

 private:
  [[nodiscard]] const format::AvmlChunk& chunk_of(Gpa at) const noexcept {
    return *std::prev(std::ranges::upper_bound(
        chunks_, at, {}, [](const format::AvmlChunk& chunk) { return chunk.range.start; }));
  }

  File file_;
  std::vector<format::AvmlChunk> chunks_;
  std::vector<GpaRange> ranges_;
};

}  // namespace

Outcome<PackedImage> open_kdump(const std::string& path, FileDescriptor file, GuardedMapping view) {
  auto dump = format::Kdump::open(view.bytes());
  if (!dump) return unreadable(path, dump.error());
  PackedImage image;
  if (!dump->notes().empty()) take_notes(image.notes, dump->notes(), true);
  if (!image.notes.vmcoreinfo && !dump->vmcoreinfo().empty()) {
    const auto info = dump->vmcoreinfo();
    image.notes.vmcoreinfo.emplace(reinterpret_cast<const char*>(info.data()), info.size());
  }
  image.words = fmt::format("RAM: kdump-compressed dump {} ({})", path,
                            size_in_words(dump->dumped_pages() * dump->block_size()));
  if (dump->cut_short()) image.warnings.emplace_back("the dump is cut short: its end is missing");
  if (dump->left_out_pages() != 0 && dump->level() != format::kLeftOutZeroPages) {
    const bool as_zeros = (dump->level() & format::kLeftOutZeroPages) != 0;
    image.warnings.push_back(
        fmt::format("{} of the guest's memory were left out of the dump (dump level {}){}",
                    size_in_words(dump->left_out_pages() * dump->block_size()), dump->level(),
                    as_zeros ? ": zeros are read there, whatever stood there" : ""));
  }
  if (dump->ranges().empty())
    return std::unexpected(Problem(Errc::malformed, fmt::format("{} holds no guest memory", path)));
  image.pages =
      std::make_unique<KdumpPages>(File{std::move(file), std::move(view)}, std::move(*dump));
  return image;
}

Outcome<PackedImage> open_avml(const std::string& path, FileDescriptor file, GuardedMapping view) {
  auto avml = format::parse_avml(view.bytes());
  if (!avml) return unreadable(path, avml.error());
  auto& chunks = avml->chunks;
  const auto start_of = [](const format::AvmlChunk& chunk) { return chunk.range.start; };
  std::ranges::stable_sort(chunks, {}, start_of);
  std::uint64_t held = 0;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    held += chunks[i].range.size;
    if (i + 1 < chunks.size() && chunks[i].range.end() > chunks[i + 1].range.start) {
      return unreadable(
          path, {Errc::malformed, chunks[i + 1].range.start.value, "AVML ranges that overlap"});
    }
  }
  PackedImage image;
  image.words = fmt::format("RAM: compressed AVML image {} ({})", path, size_in_words(held));
  if (avml->missing_bytes != 0) {
    image.warnings.push_back(fmt::format("the image is cut short: {} are missing at its end",
                                         size_in_words(avml->missing_bytes)));
  }
  image.pages =
      std::make_unique<AvmlPages>(File{std::move(file), std::move(view)}, std::move(chunks));
  return image;
}

}  // namespace vitrine
