// The saved kernel: what it says is what was written, and nothing bad of it is believed.
#include "vmipl/kernel_description.h"

#include <gtest/gtest.h>

#include <string>

namespace vitrine::vmipl {
namespace {

constexpr std::string_view kGood =
    "vitrine-kernel 1\r\n# a comment\n\nrelease 6.1.0\nsymbol ffffffff81000000 T _text\n"
    "typedef late_t array 4 struct late\nenum pid_type u32\nenumerator PIDTYPE_MAX 4\n"
    "struct task_struct 64\nmember pid 0 0 s32\nmember flag 37 3 u32\nmember next 64 0 ptr struct "
    "task_struct\n"
    "member kind 128 0 enum pid_type\nmember comm 160 0 array 16 char\nunion late 12\nmember a 0 0 "
    "u8\nvariable runqueues struct rq\n";

TEST(KernelDescription, SaysWhatWasWritten) {
  const auto kernel = KernelDescription::parse(kGood);
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_EQ(kernel->release(), "6.1.0");
  const auto ports = kernel->ports();
  EXPECT_EQ(ports.symbols->find("_text"), 0xffffffff81000000U);
  EXPECT_EQ(ports.types->enumerator("PIDTYPE_MAX"), 4);
  const auto task = ports.types->find("task_struct");
  ASSERT_TRUE(task);
  EXPECT_EQ(ports.types->shape(*task).size, 64U);
  const auto flag = ports.types->member(*task, "flag");
  ASSERT_TRUE(flag);
  EXPECT_EQ(flag->offset_bits, 37U);
  EXPECT_EQ(flag->bit_width, 3U);
  const auto next = ports.types->shape(ports.types->member(*task, "next")->type);
  EXPECT_EQ(next.kind, GuestKind::pointer);
  EXPECT_EQ(next.target, *task);
  const auto kind = ports.types->shape(ports.types->member(*task, "kind")->type);
  EXPECT_EQ(kind.kind, GuestKind::enumeration);
  EXPECT_EQ(kind.name, "enum pid_type");
  EXPECT_EQ(ports.types->find("enum pid_type"), ports.types->member(*task, "kind")->type);
  EXPECT_FALSE(ports.types->find("struct rq")) << "named, and never described";
}

// An array of a structure that is described later knows its size all the same.
TEST(KernelDescription, OrderDoesNotMatter) {
  const auto kernel = KernelDescription::parse(
      "vitrine-kernel 1\nstruct a 24\nmember x 0 0 array 2 struct b\nstruct b 12\n");
  ASSERT_TRUE(kernel);
  const auto* types = kernel->ports().types;
  EXPECT_EQ(types->shape(types->member(*types->find("a"), "x")->type).size, 24U);
}

TEST(KernelDescription, WhatIsWrongIsTold) {
  for (const std::string_view bad :
       {"", "vitrine-kernel 2\n", "ELF", "symbol 0 T a\n", "vitrine-kernel 1\nsymbol xyz T a\n",
        "vitrine-kernel 1\nsymbol 0 T\n", "vitrine-kernel 1\nmember a 0 0 u8\n",
        "vitrine-kernel 1\nstruct a -1\n", "vitrine-kernel 1\nstruct a 8\nmember b 0 0 nonsense\n",
        "vitrine-kernel 1\nstruct a 8\nmember b 99999999999999999999 0 u8\n",
        "vitrine-kernel 1\nstruct a 8\nmember b 0 65 u8\n", "vitrine-kernel 1\nenum x struct y\n",
        "vitrine-kernel 1\ncolumn a text\n", "vitrine-kernel 1\nfrob\n"}) {
    const auto kernel = KernelDescription::parse(bad);
    EXPECT_FALSE(kernel) << bad;
    if (!kernel) {
      EXPECT_EQ(kernel.error().code, Errc::malformed) << bad;
    }
  }
  std::string deep = "vitrine-kernel 1\ntypedef a ";
  for (int i = 0; i < 10000; ++i) deep += "ptr ";
  EXPECT_FALSE(KernelDescription::parse(deep + "u8\n"));
}

// Sizes that overflow, structures that hold themselves, arrays of arrays: no crash, no endless
// walk.
TEST(KernelDescription, ForgedShapesAreHarmless) {
  std::string text =
      "vitrine-kernel 1\nstruct a 4294967295\nmember self 0 0 struct a\nmember big 0 0 array "
      "4294967295 struct a\nmember bigger 0 0 array 4294967295 array 4294967295 array 4294967295 "
      "struct a\n";
  const auto kernel = KernelDescription::parse(text);
  ASSERT_TRUE(kernel) << kernel.error().message;
  const auto* types = kernel->ports().types;
  const auto bigger = types->member(*types->find("a"), "bigger");
  if (bigger) {
    (void)types->shape(bigger->type);
  }
  (void)types->shape(GuestType{123456});
  EXPECT_FALSE(types->member(GuestType{123456}, "x"));
}

}  // namespace
}  // namespace vitrine::vmipl
