#include "fvm/super/program_text.h"

#include <elf.h>

#include <charconv>

namespace vitrine::fvm {

std::optional<ProgramText> program_text(Bytes file) {
  const auto header = load<Elf64_Ehdr>(file, 0);
  if (!header || header->e_ident[EI_MAG0] != ELFMAG0 || header->e_ident[EI_CLASS] != ELFCLASS64)
    return std::nullopt;
  for (std::size_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = load<Elf64_Phdr>(file, header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) return std::nullopt;
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_X) == 0) continue;
    if (segment->p_offset > file.size() || segment->p_filesz > file.size() - segment->p_offset)
      return std::nullopt;
    return ProgramText{segment->p_vaddr, file.subspan(segment->p_offset, segment->p_filesz)};
  }
  return std::nullopt;
}

std::optional<Bytes> file_in_archive(Bytes archive, std::string_view name) {
  constexpr std::size_t kHeader = 110;  // "070701" and thirteen numbers of eight hexadecimal digits
  const auto number = [&](std::size_t at) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto* text = reinterpret_cast<const char*>(archive.data()) + at;
    if (std::from_chars(text, text + 8, value, 16).ptr != text + 8) return std::nullopt;
    return value;
  };
  const auto padded = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
  for (std::uint64_t at = 0; at + kHeader <= archive.size();) {
    const auto size = number(at + 54), name_size = number(at + 94);
    if (!size || !name_size || *name_size == 0) return std::nullopt;
    const auto content = padded(at + kHeader + *name_size);
    if (content > archive.size() || *size > archive.size() - content) return std::nullopt;
    const std::string_view own(reinterpret_cast<const char*>(archive.data()) + at + kHeader,
                               *name_size - 1);
    if (own == name) return archive.subspan(content, *size);
    at = padded(content + *size);
  }
  return std::nullopt;
}

}  // namespace vitrine::fvm
