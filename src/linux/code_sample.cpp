#include "linux/code_sample.h"

#include <xxhash.h>

#include <algorithm>
#include <vector>

namespace vitrine::linux {
namespace {

constexpr std::size_t kPieceSize = 16;
constexpr std::size_t kFewest = 64;  // telling pieces, for a verdict

}  // namespace

CodeSample CodeSample::take(const PhysicalMemory& ram, Gpa text, std::uint64_t text_size) {
  CodeSample sample;
  sample.text_size = text_size;
  std::vector<std::array<std::byte, kPieceSize>> bytes(kPieces);
  std::vector<BatchRead> batch;
  batch.reserve(kPieces);
  for (std::size_t i = 0; i < kPieces; ++i) {
    batch.push_back(
        {text + text_size / kPieces * i / kPieceSize * kPieceSize, MutableBytes(bytes[i])});
  }
  ram.read_batch(batch);
  for (std::size_t i = 0; i < kPieces; ++i) {
    const auto& piece = bytes[i];
    if (!batch[i].ok || std::ranges::all_of(piece, [&](std::byte b) { return b == piece.front(); }))
      continue;
    sample.pieces[i] = std::max(XXH32(piece.data(), piece.size(), 0), 1U);
  }
  return sample;
}

double CodeSample::likeness(const CodeSample& other) const noexcept {
  if (text_size != other.text_size) return 0;
  std::size_t telling = 0, same = 0;
  for (std::size_t i = 0; i < kPieces; ++i) {
    if (pieces[i] == 0) continue;
    ++telling;
    same += pieces[i] == other.pieces[i] ? 1 : 0;
  }
  return telling < kFewest ? 0 : static_cast<double>(same) / static_cast<double>(telling);
}

}  // namespace vitrine::linux
