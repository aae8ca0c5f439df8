#include "format/lime.h"

namespace vitrine::format {
namespace {

constexpr std::uint64_t kHeaderSize = 32;
constexpr std::size_t kMostRanges = 65536;

}  // namespace

Result<LimeFile> parse_lime(Bytes file) {
  LimeFile lime;
  std::uint64_t at = 0;
  while (at < file.size()) {
    const auto magic = load<std::uint32_t>(file, at);
    const auto version = load<std::uint32_t>(file, at + 4);
    const auto first = load<std::uint64_t>(file, at + 8);
    const auto last = load<std::uint64_t>(file, at + 16);
    const auto rest = file.size() - at;
    if (magic != kLimeMagic || rest < kHeaderSize || !first || !last || !version) {
      if (at == 0) return fail(Errc::malformed, at, "LiME header");
      lime.stray_bytes = rest;
      return lime;
    }
    if (*version != 1) return fail(Errc::unsupported, at, "LiME version");
    if (*last < *first || *last - *first == UINT64_MAX)
      return fail(Errc::malformed, at, "LiME range");
    if (lime.ranges.size() == kMostRanges) return fail(Errc::too_large, at, "LiME ranges");

    auto size = *last - *first + 1;
    at += kHeaderSize;
    if (size > file.size() - at) {
      lime.missing_bytes = size - (file.size() - at);
      size = file.size() - at;
    }
    if (size != 0) lime.ranges.push_back({{Gpa{*first}, size}, at});
    at += size;
  }
  if (lime.ranges.empty()) return fail(Errc::malformed, 0, "LiME file holds nothing");
  return lime;
}

}  // namespace vitrine::format
