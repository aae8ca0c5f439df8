// A program's ELF file of any bytes, some of whose pages are missing: names lie in the file's
// own bounds, and every function that is told can be found again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "format/elf_symbols.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto missing = data[0];  // one page of those that this names by its bits
  const Bytes file(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const auto read = [&](std::uint64_t offset, MutableBytes into) -> Result<void> {
    const auto bytes = slice(file, offset, into.size());
    if (!bytes) return fail(Errc::out_of_bounds, offset, "file");
    if ((missing >> (offset / 4096 & 7) & 1) != 0 && missing != 0xff)
      return fail(Errc::not_present, offset, "page");
    if (!into.empty()) std::memcpy(into.data(), bytes->data(), into.size());
    return {};
  };
  const auto symbols = format::ElfSymbols::read(read, file.size());
  if (!symbols) return 0;
  for (std::uint64_t at = 0; at < 4096; at += 61) {
    if (const auto found = symbols->find(at); found && found->name.empty()) std::abort();
    if (const auto address = symbols->address_of(at)) (void)symbols->find(*address);
  }
  if (symbols->size() > format::ElfSymbols::kMaxSymbols) std::abort();
  return 0;
}
