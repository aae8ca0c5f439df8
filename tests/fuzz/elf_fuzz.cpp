// An ELF file of any bytes: whatever is accepted lies inside the file and does not overlap.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "format/elf.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes file(reinterpret_cast<const std::byte*>(data), size);
  (void)format::parse_qemu_cpu_state(file);
  const auto elf = format::parse_elf(file);
  if (!elf) return 0;
  auto ranges = format::elf_ranges(*elf, size);
  const auto check = [&] {
    Gpa last{0};
    for (const auto& one : ranges.ranges) {
      if (one.range.size == 0 || one.range.start < last || one.range.end() < one.range.start)
        std::abort();
      if (one.file_offset > size || one.range.size > size - one.file_offset) std::abort();
      last = one.range.end();
    }
  };
  check();
  (void)format::add_unnamed_ranges(ranges, *elf, size);
  check();
  for (const auto& [offset, length] : elf->notes) {
    const auto segment = slice(file, offset, length);
    if (!segment) continue;
    for (const auto& note : format::parse_elf_notes(*segment)) {
      (void)format::parse_qemu_cpu_state(note.descriptor);
    }
  }
  return 0;
}
