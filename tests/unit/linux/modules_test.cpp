#include "linux/modules.h"

#include <gtest/gtest.h>

#include <vector>

#include "unit/linux/fake_memory.h"

namespace vitrine::linux {
namespace {

using test::FakeMemory;

/// A layout of our own: what the readers make of it must not depend on any kernel's.
ModuleLayout layout_of(bool by_parts) {
  ModuleLayout layout;
  layout.size = 0x200;
  layout.state = 0x00;
  layout.list = 0x08;
  layout.name = 0x18;
  layout.name_size = 56;
  layout.mkobj_mod = 0x50;
  layout.version = 0x58;
  layout.srcversion = 0x60;
  layout.syms = 0x68;
  layout.num_syms = 0x70;
  layout.taints = 0x78;
  layout.kallsyms = 0x80;
  layout.init = 0x88;
  layout.kp = 0x90;
  layout.num_kp = 0x98;
  layout.source_list = 0xa0;
  layout.exit = 0xb0;
  layout.refcount = 0xb8;
  if (by_parts) {
    layout.memory = ModuleLayout::Memory{
        .first = 0xc0, .stride = 16, .base = 0, .size = 8, .index = {0, 1, 2, 3, 4, 5, 6}};
  } else {
    layout.core = {
        .base = 0xc0, .size = 0xc8, .text_size = 0xcc, .ro_size = 0xd0, .ro_after_init_size = 0xd4};
    layout.initial = {
        .base = 0xd8, .size = 0xe0, .text_size = 0xe4, .ro_size = 0xe8, .ro_after_init_size = 0xec};
  }
  layout.symtab = 0;
  layout.num_symtab = 8;
  layout.strtab = 16;
  layout.typetab = 24;
  layout.export_size = 12;
  layout.export_value = 0;
  layout.export_name = 4;
  layout.use_source_list = 0;
  layout.use_source = 0x20;
  return layout;
}

constexpr Gva kHead{0xffff'ffff'8210'0000};
constexpr Gva kFirst{0xffff'ffff'c000'1000};
constexpr Gva kSecond{0xffff'ffff'c000'3000};
constexpr Gva kKallsyms{0xffff'ffff'c000'5000};
constexpr Gva kSymtab{0xffff'ffff'c000'6000};
constexpr Gva kStrtab{0xffff'ffff'c000'8ff0};  // names cross a page
constexpr Gva kTypetab{0xffff'ffff'c000'a000};
constexpr Gva kExports{0xffff'ffff'c000'b000};
constexpr Gva kExportNames{0xffff'ffff'c000'c000};

void put_module(FakeMemory& memory, const ModuleLayout& layout, Gva at, std::string_view name) {
  memory.write(at, std::vector<std::byte>(layout.size));
  memory.text(at + layout.name, name);
  memory.put(at + layout.mkobj_mod, at);
  memory.put<std::int32_t>(at + *layout.refcount, 3);
  memory.put(at + *layout.source_list, at + *layout.source_list);
  memory.put(at + *layout.source_list + 8, at + *layout.source_list);
}

void link(FakeMemory& memory, Gva from, Gva to) {
  memory.put(from, to);
  memory.put(to + 8, from);
}

class Modules : public ::testing::Test {
 protected:
  FakeMemory memory;
  ModuleLayout layout = layout_of(true);

  void SetUp() override {
    put_module(memory, layout, kFirst, "first");
    put_module(memory, layout, kSecond, "second");
    link(memory, kHead, kFirst + layout.list);
    link(memory, kFirst + layout.list, kSecond + layout.list);
    link(memory, kSecond + layout.list, kHead);
  }

  std::vector<std::string> names(Walked& walked, std::vector<Error>* unreadable = nullptr) {
    std::vector<std::string> found;
    walked = for_each_module(
        memory, layout, kHead,
        [&](const Module& module) {
          found.push_back(module.name);
          return true;
        },
        [&](Gva, const Error& error) {
          if (unreadable != nullptr) unreadable->push_back(error);
        });
    return found;
  }

  void put_symbol(unsigned index, std::uint64_t value, std::uint32_t name, char type) {
    memory.put<std::uint32_t>(kSymtab + index * 24, name);
    memory.put<std::uint64_t>(kSymtab + index * 24 + 8, value);
    memory.put<std::uint64_t>(kSymtab + index * 24 + 16, 0);
    memory.put(kTypetab + index, type);
  }

  /// "", "init", "exported", "exported" at another address.
  void put_symbols() {
    memory.put(kFirst + layout.kallsyms, kKallsyms);
    memory.put(kKallsyms + layout.symtab, kSymtab);
    memory.put<std::uint32_t>(kKallsyms + layout.num_symtab, 4);
    memory.put(kKallsyms + layout.strtab, kStrtab);
    memory.put(kKallsyms + layout.typetab, kTypetab);
    memory.text(kStrtab, "");
    memory.text(kStrtab + 1, "init");
    memory.text(kStrtab + 6, "exported_symbol");
    put_symbol(0, 0, 0, 'U');
    put_symbol(1, 0xffff'ffff'c000'0010, 1, 't');
    put_symbol(2, 0xffff'ffff'c000'0020, 6, 't');
    put_symbol(3, 0xffff'ffff'c000'0030, 6, 'D');
    memory.put(kFirst + layout.syms, kExports);
    memory.put<std::uint32_t>(kFirst + layout.num_syms, 1);
    memory.text(kExportNames, "exported_symbol");
    memory.put(kExports, static_cast<std::int32_t>(0xffff'ffff'c000'0020 - kExports.value));
    memory.put(kExports + 4, static_cast<std::int32_t>(kExportNames - (kExports + 4)));
    memory.put<std::int32_t>(kExports + 8, 0);
  }

  struct Seen {
    std::vector<std::string> lines;
    Result<std::size_t> done;
  };
  Seen symbols() {
    Seen seen;
    const auto module = read_module(memory, layout, kFirst);
    if (!module) {
      seen.done = std::unexpected(module.error());
      return seen;
    }
    seen.done = for_each_symbol_of(memory, layout, *module, 128, [&](const ModuleSymbol& symbol) {
      seen.lines.push_back(std::string(1, symbol.type) + ' ' + std::string(symbol.name));
      return true;
    });
    return seen;
  }
};

TEST_F(Modules, AreListedInOrder) {
  Walked walked;
  EXPECT_EQ(names(walked), (std::vector<std::string>{"first", "second"}));
  EXPECT_TRUE(walked.sound());
}

TEST_F(Modules, APartIsWhereItsRangeSays) {
  memory.put<std::uint64_t>(kFirst + 0xc0, 0xffff'ffff'c0a0'0000);
  memory.put<std::uint32_t>(kFirst + 0xc8, 0x1000);
  memory.put<std::uint64_t>(kFirst + 0xc0 + 5 * 16, 0xffff'ffff'c0b0'0000);
  memory.put<std::uint32_t>(kFirst + 0xc8 + 5 * 16, 0x2000);
  const auto module = read_module(memory, layout, kFirst);
  ASSERT_TRUE(module);
  EXPECT_EQ(module->core, Gva{0xffff'ffff'c0a0'0000});
  EXPECT_EQ(module->size, 0x3000U);
  EXPECT_TRUE(module->contains(Gva{0xffff'ffff'c0a0'0fff}));
  EXPECT_FALSE(module->contains(Gva{0xffff'ffff'c0a0'1000}));
  EXPECT_TRUE(module->contains(Gva{0xffff'ffff'c0b0'1fff}));
  EXPECT_EQ(module->parts[kModuleInitData].size, 0x2000U);
  EXPECT_EQ(module->references, 2);
  EXPECT_TRUE(module->leads_back);
}

TEST_F(Modules, OlderKernelsHaveTwoAllocations) {
  layout = layout_of(false);
  memory.put<std::uint64_t>(kFirst + 0xc0, 0xffff'ffff'c0a0'0000);
  memory.put<std::uint32_t>(kFirst + 0xc8, 0x8000);  // size
  memory.put<std::uint32_t>(kFirst + 0xcc, 0x2000);  // text
  memory.put<std::uint32_t>(kFirst + 0xd0, 0x3000);  // read-only
  memory.put<std::uint32_t>(kFirst + 0xd4, 0x4000);  // read-only after init
  const auto module = read_module(memory, layout, kFirst);
  ASSERT_TRUE(module);
  EXPECT_EQ(module->size, 0x8000U);
  EXPECT_EQ(module->parts[kModuleText].size, 0x2000U);
  EXPECT_EQ(module->parts[kModuleRodata].start, Gva{0xffff'ffff'c0a0'2000});
  EXPECT_EQ(module->parts[kModuleRoAfterInit].start, Gva{0xffff'ffff'c0a0'3000});
  EXPECT_EQ(module->parts[kModuleData].start, Gva{0xffff'ffff'c0a0'4000});
  EXPECT_EQ(module->parts[kModuleData].size, 0x4000U);
}

TEST_F(Modules, ForgedPartsDoNotLeaveTheAllocation) {
  layout = layout_of(false);
  memory.put<std::uint32_t>(kFirst + 0xc8, 0x1000);
  memory.put<std::uint32_t>(kFirst + 0xcc, 0xffff'f000);
  memory.put<std::uint32_t>(kFirst + 0xd0, 0x10);
  memory.put<std::uint32_t>(kFirst + 0xd4, 0x8000'0000);
  const auto module = read_module(memory, layout, kFirst);
  ASSERT_TRUE(module);
  EXPECT_EQ(module->size, 0x1000U);
}

TEST_F(Modules, ThoseThatAreNoneAreSaidToBeSo) {
  std::vector<Error> unreadable;
  Walked walked;
  memory.put<std::uint32_t>(kFirst + layout.state, 4);
  EXPECT_EQ(names(walked, &unreadable), std::vector<std::string>{"second"});
  ASSERT_EQ(unreadable.size(), 1U);
  EXPECT_EQ(unreadable[0].code, Errc::malformed);
  memory.put<std::uint32_t>(kFirst + layout.state, 0);
  for (const std::string_view bad : {"", "two words", "\x80"}) {
    memory.text(kFirst + layout.name, bad);
    EXPECT_EQ(read_module(memory, layout, kFirst).error().code, Errc::malformed);
  }
  memory.write(kFirst + layout.name, std::vector<std::byte>(56, std::byte{'x'}));  // no NUL
  EXPECT_EQ(read_module(memory, layout, kFirst).error().code, Errc::malformed);
}

TEST_F(Modules, AListThatClosesElsewhereEnds) {
  memory.put(kSecond + layout.list, kFirst + layout.list);
  Walked walked;
  (void)names(walked);
  ASSERT_TRUE(walked.broken);
  EXPECT_EQ(walked.broken->code, Errc::cycle);
}

TEST_F(Modules, SymbolsAreThoseOfProcKallsyms) {
  put_symbols();
  const auto seen = symbols();
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(*seen.done, 3U);
  // Upper case: of that name and value among the exports. The nameless first is not printed.
  EXPECT_EQ(seen.lines,
            (std::vector<std::string>{"t init", "T exported_symbol", "d exported_symbol"}));
}

TEST_F(Modules, NamesAreCutWhereTheKernelCutsThem) {
  put_symbols();
  const auto module = read_module(memory, layout, kFirst);
  ASSERT_TRUE(module);
  std::vector<std::string> cut;
  ASSERT_TRUE(for_each_symbol_of(memory, layout, *module, 4, [&](const ModuleSymbol& symbol) {
    cut.emplace_back(symbol.name);
    return true;
  }));
  EXPECT_EQ(cut, (std::vector<std::string>{"ini", "exp", "exp"}));
}

TEST_F(Modules, ForgedSymbolTablesAreRefused) {
  put_symbols();
  memory.put<std::uint32_t>(kKallsyms + layout.num_symtab, 0xffff'ffff);
  EXPECT_EQ(symbols().done.error().code, Errc::too_large);
  put_symbols();
  memory.put<std::uint32_t>(kSymtab + 24, 0xffff'fff0);  // a name far outside
  EXPECT_EQ(symbols().done.error().code, Errc::not_present);
  put_symbols();
  memory.put<std::uint32_t>(kFirst + layout.num_syms, 0xffff'ffff);
  EXPECT_EQ(symbols().done.error().code, Errc::too_large);
  put_symbols();
  memory.put(kFirst + layout.kallsyms, Gva{});
  EXPECT_EQ(symbols().lines.size(), 0U);
}

TEST_F(Modules, EveryFailingReadIsAnError) {
  put_symbols();
  (void)symbols();
  const auto reads = memory.reads;
  ASSERT_GT(reads, 5U);
  for (std::size_t at = 1; at <= reads; ++at) {
    memory.reads = 0;
    memory.fail_at = at;
    EXPECT_EQ(symbols().done.error().code, Errc::not_present) << at;
  }
}

TEST_F(Modules, UsersAreNamed) {
  constexpr Gva kUse{0xffff'8880'0000'1000};
  memory.write(kUse, std::vector<std::byte>(0x30));
  memory.put(kUse + layout.use_source, kSecond);
  link(memory, kFirst + *layout.source_list, kUse);
  link(memory, kUse, kFirst + *layout.source_list);
  const auto module = read_module(memory, layout, kFirst);
  ASSERT_TRUE(module);
  const auto users = read_module_users(memory, layout, *module);
  ASSERT_TRUE(users);
  EXPECT_EQ(*users, std::vector<std::string>{"second"});
  memory.put(kUse + layout.use_source, Gva{1});
  EXPECT_FALSE(read_module_users(memory, layout, *module));
}

TEST(ModuleTaints, AreLetters) {
  EXPECT_EQ(taint_letters(0), "");
  EXPECT_EQ(taint_letters(1U << 0 | 1U << 12 | 1U << 13), "POE");
  EXPECT_EQ(taint_letters(1U << 19 | std::uint64_t{1} << 63), "J?");
}

}  // namespace
}  // namespace vitrine::linux
