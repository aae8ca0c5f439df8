#include "probe/agent/block_look.h"

#include <gtest/gtest.h>

#include "probe/maps.h"
#include "unit/probe/fake_environment.h"
#include "vmipl/catalogue.h"
#include "vmipl/check.h"

namespace vitrine::probe {
namespace {

struct Looked {
  vmipl::Program program;
  std::unique_ptr<LocalMaps> maps;
  FakeEnvironment here;

  explicit Looked(const std::string& text) {
    const vmipl::Source source("look.vmi", text);
    vmipl::Diagnostics diagnostics;
    auto checked = vmipl::check(source, {.allow = {"all"}, .build = true}, diagnostics);
    if (!checked.program) throw std::runtime_error("this script has mistakes: " + text);
    program = std::move(*checked.program);
    maps = std::move(*LocalMaps::create(program.maps));
  }
  Looked& arg0(std::optional<std::uint64_t> value) {
    const auto index =
        static_cast<unsigned>(vmipl::find_moment("", "arg0") - vmipl::moments().data());
    here.moment_numbers.erase(index);
    if (value) here.moment_numbers[index] = *value;
    return *this;
  }
  bool may_act() {
    BlockLook look(program, here, *maps);
    const bool may = look.may_act(0);
    EXPECT_TRUE(here.emitted.empty()) << "it only looks";
    for (unsigned map = 0; map < program.maps.size(); ++map)
      EXPECT_EQ(maps->length(map), kept) << "it only looks";
    return may;
  }
  std::uint64_t kept = 0;  ///< rows of each map
};

TEST(BlockLook, APredicateThatIsFalseAsksNobody) {
  Looked script("Syscall when (arg0 == 5) { Print(\"%s\\n\", symbol(arg0)) }");
  EXPECT_FALSE(script.arg0(4).may_act());
  EXPECT_TRUE(script.arg0(5).may_act());
  EXPECT_FALSE(script.arg0(6).may_act());
}

TEST(BlockLook, SoDoesAConditionInTheBlock) {
  Looked script("Syscall { if (arg0 == 5) { Pause() } }");
  EXPECT_FALSE(script.arg0(4).may_act());
  EXPECT_TRUE(script.arg0(5).may_act());
}

TEST(BlockLook, WhatIsMissingHereTheHostMayKnow) {
  Looked value("Syscall when (arg0 == 5) { Pause() }");
  EXPECT_TRUE(value.arg0(std::nullopt).may_act());
  Looked name("Syscall when (symbol(arg0) == \"symbol\") { Pause() }");
  EXPECT_TRUE(name.arg0(4).may_act()) << "names are the host's";
  Looked memory("Syscall when (u64(arg0) == 5) { Pause() }");
  EXPECT_TRUE(memory.arg0(0x9000).may_act());
  memory.here.memory = std::string("\x04\0\0\0\0\0\0\0", 8);
  EXPECT_FALSE(memory.arg0(0x1000).may_act());
}

TEST(BlockLook, MapsAreReadAndNotWritten) {
  Looked writes("Syscall { @seen[arg0] = 1; if (arg0 == 5) { Pause() } }");
  EXPECT_TRUE(writes.arg0(4).may_act());
  Looked reads("Syscall when (@seen[arg0] == 1) { Pause() } Syscall { @seen[arg0] = 1 }");
  EXPECT_FALSE(reads.arg0(4).may_act()) << "no such key: the predicate is false";
  const ValueView key[] = {ValueView::of(std::uint64_t{4})};
  reads.maps->set(0, key, 1);
  reads.kept = 1;
  EXPECT_TRUE(reads.may_act());
  EXPECT_FALSE(reads.arg0(5).may_act());
}

TEST(BlockLook, WhatTakesLongIsTheHosts) {
  EXPECT_TRUE(Looked("Syscall { let n = 0; for (i in 0..100000) { n += i } }").may_act());
  EXPECT_FALSE(Looked("Syscall { let n = 0; for (i in 0..10) { n += i } }").may_act());
}

}  // namespace
}  // namespace vitrine::probe
