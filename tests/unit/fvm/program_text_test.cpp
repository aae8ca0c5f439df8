// What the Super FVM measures by: a program's text, a file of an initramfs.
#include "fvm/super/program_text.h"

#include <elf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

using namespace vitrine;
using namespace vitrine::fvm;

namespace {

std::string entry(std::string_view name, std::string_view content) {
  auto text = fmt::format("070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}", 1, 0100555, 0, 0, 1,
                          0, content.size());
  text += fmt::format("{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}", 0, 0, 0, 0, name.size() + 1, 0);
  text += name;
  text += '\0';
  text.resize((text.size() + 3) & ~std::size_t{3});
  text += content;
  text.resize((text.size() + 3) & ~std::size_t{3});
  return text;
}

TEST(Archive, AFileIsFoundByItsName) {
  const auto archive = entry("dev", "") + entry("init", "the program") + entry("pack/a.vmi", "x") +
                       entry("TRAILER!!!", "");
  const auto init = file_in_archive(bytes_of(archive), "init");
  ASSERT_TRUE(init);
  EXPECT_EQ(std::memcmp(init->data(), "the program", init->size()), 0);
  EXPECT_FALSE(file_in_archive(bytes_of(archive), "ini"));
}

TEST(Archive, OneThatWasCutIsNoArchive) {
  const auto archive = entry("dev", "") + entry("init", "the program");
  for (std::size_t size = 0; size + 4 < archive.size(); ++size)
    EXPECT_FALSE(file_in_archive(bytes_of(std::string_view(archive).substr(0, size)), "init"))
        << size;
}

TEST(Program, ItsTextIsTheExecutableSegment) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const auto text = program_text(bytes_of(bytes));
  ASSERT_TRUE(text);
  const auto header = *load<Elf64_Ehdr>(bytes_of(bytes), 0);
  EXPECT_LE(text->address, header.e_entry);
  EXPECT_GT(text->address + text->bytes.size(), header.e_entry);
  EXPECT_FALSE(program_text(bytes_of(std::string_view(bytes).substr(0, 100))));
  EXPECT_FALSE(program_text(bytes_of(std::string_view("not a program"))));
}

}  // namespace
