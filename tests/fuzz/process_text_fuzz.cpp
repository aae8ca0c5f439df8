// Another user's process may call itself anything: a command line and a maps file of any
// bytes, and the search for RAM in what they say. Input: maps, a NUL, words between NULs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "machine/inferred_ram.h"
#include "machine/process_maps.h"
#include "machine/qemu_options.h"
#include "memory/memory_map.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto cut = std::min(text.find('\0'), text.size());
  const auto maps = parse_process_maps(text.substr(0, cut));
  std::vector<std::string> words;
  for (auto rest = text.substr(std::min(cut + 1, size)); !rest.empty() && words.size() < 1000;) {
    const auto end = rest.find('\0');
    words.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  const auto options = parse_qemu_options(words);
  if (const auto readings = infer_ram(options, maps)) {
    for (const auto& reading : *readings) {
      std::vector<MapSegment> segments;
      for (const auto& range : reading.ranges)
        segments.push_back({range.range, 0, range.hva.value});
      (void)MemoryMap::create(std::move(segments));
    }
  }
  return 0;
}
