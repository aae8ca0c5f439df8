// Names of a program's functions, with and without the pages that hold them.
#include "format/elf_symbols.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
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
  EXPECT_TRUE(symbols->has("outer"));
  EXPECT_FALSE(symbols->has("oute"));
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

/// A file with nothing but a table of functions, all named "f<index>": {address, size}.
std::vector<std::byte> file_with(
    const std::vector<std::pair<std::uint64_t, std::uint64_t>>& functions) {
  std::vector<std::byte> file(64 + 3 * 64);
  const auto put = [&](std::size_t at, auto value) {
    std::memcpy(file.data() + at, &value, sizeof value);
  };
  std::string names(1, '\0');
  std::vector<std::byte> symbols(24);
  for (const auto& [address, size] : functions) {
    std::array<std::byte, 24> one{};
    const auto name = static_cast<std::uint32_t>(names.size());
    std::memcpy(one.data(), &name, 4);
    one[4] = std::byte{2};  // STT_FUNC
    one[6] = std::byte{1};
    std::memcpy(one.data() + 8, &address, 8);
    std::memcpy(one.data() + 16, &size, 8);
    symbols.insert(symbols.end(), one.begin(), one.end());
    names += 'f' + std::to_string(symbols.size() / 24 - 2) + '\0';
  }
  put(0, std::uint32_t{0x464c'457f});
  put(4, std::uint16_t{0x0102});
  put(40, std::uint64_t{64});  // e_shoff
  put(54, std::uint16_t{56});
  put(58, std::uint16_t{64});
  put(60, std::uint16_t{3});
  put(128 + 4, std::uint32_t{2});  // SHT_SYMTAB, its names in section 2
  put(128 + 24, std::uint64_t{file.size()});
  put(128 + 32, std::uint64_t{symbols.size()});
  put(128 + 40, std::uint32_t{2});
  put(128 + 56, std::uint64_t{24});
  put(192 + 24, std::uint64_t{file.size() + symbols.size()});
  put(192 + 32, std::uint64_t{names.size()});
  file.insert(file.end(), symbols.begin(), symbols.end());
  const auto text = bytes_of(names);
  file.insert(file.end(), text.begin(), text.end());
  return file;
}

TEST(ElfSymbols, OfSeveralAtOneAddressTheFirstThatHoldsIt) {
  const auto file = file_with({{0x100, 8}, {0x100, 4}, {0x100, 16}, {0x100, 0}, {0x100, 99}});
  const auto symbols = ElfSymbols::read(reader(file), file.size());
  ASSERT_TRUE(symbols);
  EXPECT_EQ(symbols->find(0x107)->name, "f0");
  EXPECT_EQ(symbols->find(0x108)->name, "f2");
  EXPECT_EQ(symbols->find(0x110)->name, "f3");
  EXPECT_EQ(symbols->find(0x150)->name, "f3");
  EXPECT_FALSE(symbols->find(0xff));
}

/// Whoever may run a program in the guest may name half a million functions at one place.
TEST(ElfSymbols, AnyNumberAtOneAddressIsSearchedQuickly) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> functions;
  for (std::uint64_t i = 1; i <= 200'000; ++i) functions.emplace_back(0x1000, i);
  const auto file = file_with(functions);
  const auto symbols = ElfSymbols::read(reader(file), file.size());
  ASSERT_TRUE(symbols);
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const auto found = symbols->find(0x1000 + 199'999 - i % 1000);
    ASSERT_TRUE(found);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));  // was a minute
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
