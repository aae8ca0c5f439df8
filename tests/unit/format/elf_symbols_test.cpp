// Names of a program's functions, with and without the pages that hold them.
#include "format/elf_symbols.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace vitrine::format {
namespace {

std::vector<std::byte> file_of(const std::string& seed) {
  std::ifstream stream(
      std::string(VITRINE_SOURCE_DIR "/tests/fuzz/corpus/elf_symbols_fuzz/") + seed,
      std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)),
                          std::istreambuf_iterator<char>());
  std::vector<std::byte> file(bytes.size() - 1);
  std::memcpy(file.data(), bytes.data() + 1, file.size());  // the first byte is the fuzzer's
  return file;
}

ReadFile reader(const std::vector<std::byte>& file, std::uint64_t missing_from = UINT64_MAX) {
  return [&file, missing_from](std::uint64_t offset, MutableBytes into) -> Result<void> {
    const auto bytes = slice(file, offset, into.size());
    if (!bytes || offset + into.size() > missing_from)
      return fail(Errc::not_present, offset, "page");
    std::memcpy(into.data(), bytes->data(), into.size());
    return {};
  };
}

std::vector<std::string> names_in(const ElfSymbols& symbols) {
  std::vector<std::string> names;
  for (std::uint64_t at = 0; at < 0x500000; ++at) {
    const auto found = symbols.find(at);
    if (found && found->offset == 0) names.emplace_back(found->name);
  }
  return names;
}

TEST(ElfSymbols, FullTableOfAStaticProgram) {
  const auto file = file_of("st");
  const auto symbols = ElfSymbols::read(reader(file), file.size());
  ASSERT_TRUE(symbols);
  EXPECT_EQ(symbols->source(), ".symtab");
  EXPECT_FALSE(symbols->incomplete());
  EXPECT_EQ(names_in(*symbols), (std::vector<std::string>{"inner", "outer", "main"}));
}

TEST(ElfSymbols, DynamicTableOfAStrippedLibrary) {
  const auto file = file_of("sos");
  const auto symbols = ElfSymbols::read(reader(file), file.size());
  ASSERT_TRUE(symbols);
  EXPECT_EQ(symbols->source(), ".dynsym");
  EXPECT_EQ(names_in(*symbols), (std::vector<std::string>{"inner", "outer", "main"}));
}

TEST(ElfSymbols, DynamicSegmentWhereTheSectionsAreMissing) {
  const auto file = file_of("sos");
  const auto symbols = ElfSymbols::read(reader(file, file.size() - 64), file.size());
  ASSERT_TRUE(symbols);
  EXPECT_EQ(names_in(*symbols), (std::vector<std::string>{"inner", "outer", "main"}));
}

TEST(ElfSymbols, AFunctionEndsWhereItsSizeSays) {
  const auto file = file_of("st");
  const auto symbols = ElfSymbols::read(reader(file), file.size());
  ASSERT_TRUE(symbols);
  EXPECT_FALSE(symbols->find(UINT64_MAX));
  EXPECT_FALSE(symbols->find(0));
}

TEST(ElfSymbols, RefusesWhatIsNoProgram) {
  const std::vector<std::byte> zeros(4096);
  EXPECT_EQ(ElfSymbols::read(reader(zeros), zeros.size()).error().code, Errc::malformed);
  auto file = file_of("st");
  file[4] = std::byte{1};
  EXPECT_EQ(ElfSymbols::read(reader(file), file.size()).error().code, Errc::unsupported);
}

}  // namespace
}  // namespace vitrine::format
