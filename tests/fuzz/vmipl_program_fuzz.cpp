// Bytes as a saved program: whatever they are, they are refused or sound.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "vmipl/program.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vitrine;
  using namespace vitrine::vmipl;
  if (size > 65536) return 0;
  (void)load_program(std::as_bytes(std::span(data, size)));
  // A forger writes a good header and a good checksum: so do we, around the rest.
  static const auto empty = save(Program{});
  constexpr std::size_t kHeader = 16;
  std::vector<std::byte> forged(empty.begin(), empty.begin() + kHeader);
  if (size > kHeader + 8) {
    const auto body = std::as_bytes(std::span(data, size)).subspan(kHeader, size - kHeader - 8);
    forged.insert(forged.end(), body.begin(), body.end());
  }
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const auto byte : forged)
    hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3ULL;
  const auto at = forged.size();
  forged.resize(at + sizeof hash);
  std::memcpy(forged.data() + at, &hash, sizeof hash);
  auto loaded = load_program(forged);
  if (!loaded) return 0;
  if (verify(*loaded)) abort();
  const auto again = load_program(save(*loaded));
  if (!again || *again != *loaded) abort();
  (void)list(*loaded);
  std::vector<std::string> problems;
  (void)vmipl::bind(*loaded, {}, problems);
  if (verify(*loaded)) abort();
  return 0;
}
