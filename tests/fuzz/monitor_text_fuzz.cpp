// What a monitor may print: any bytes as a memory map, registers, an address, a dump.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "machine/json_frame.h"
#include "machine/monitor_memory.h"
#include "machine/monitor_text.h"
#include "machine/qemu_ram.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto view = parse_flat_view(text)) {
    Gpa last{0};
    for (const auto& one : *view) {
      if (one.range.size == 0 || one.range.start < last) std::abort();
      last = one.range.end();
    }
    (void)choose_ram(*view);
  }
  (void)parse_registers(text);
  (void)parse_gpa2hva(text);
  std::array<std::byte, 24> bytes;
  (void)parse_xp(text, Gpa{0xfffc0}, bytes);

  // An object ends at the same byte, in however many pieces it comes.
  JsonFrame whole, pieces;
  const auto end = whole.feed(text);
  std::size_t at = 0, found = 0;
  while (at < size && found == 0) {
    const auto take = std::min<std::size_t>(size - at, 1 + at % 5);
    const auto here = pieces.feed(text.substr(at, take));
    if (here != 0) found = at + here;
    at += take;
  }
  if (end != found) std::abort();
  return 0;
}
