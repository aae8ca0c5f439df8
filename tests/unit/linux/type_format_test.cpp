#include "linux/type_format.h"

#include <gtest/gtest.h>

#include "support/btf_builder.h"
#include "unit/linux/types_fixture.h"

namespace vitrine::linux {
namespace {

using test::BtfBuilder;

std::string name_of(const BtfBuilder& builder, std::uint32_t id) {
  const auto types = *TypeCatalogue::parse(builder.build());
  return type_name(types.vmlinux()->type(btf::TypeId{id}));
}

TEST(TypeFormat, DeclarationsReadAsC) {
  BtfBuilder b;
  const auto i = b.integer("int", 4, true);
  const auto s = b.forward("device");
  const auto pointer = b.pointer(s);
  const auto function = b.pointer(b.prototype(i, {{"dev", pointer}, {"", 0}}));
  EXPECT_EQ(name_of(b, pointer), "struct device *");
  EXPECT_EQ(name_of(b, function), "int (*)(struct device *dev, ...)");
  EXPECT_EQ(name_of(b, b.array(function, 4)), "int (*[4])(struct device *dev, ...)");
  EXPECT_EQ(name_of(b, b.pointer(b.array(i, 3))), "int (*)[3]");
  EXPECT_EQ(name_of(b, b.array(b.array(i, 3), 2)), "int [2][3]");
  EXPECT_EQ(name_of(b, b.const_of(i)), "const int");
  EXPECT_EQ(name_of(b, b.pointer(b.const_of(b.volatile_of(i)))), "const volatile int *");
  EXPECT_EQ(name_of(b, b.const_of(b.pointer(i))), "int *const");
  EXPECT_EQ(name_of(b, b.pointer(0)), "void *");
  EXPECT_EQ(name_of(b, b.pointer(b.prototype(0, {}))), "void (*)(void)");
  EXPECT_EQ(name_of(b, b.array(i, 0)), "int []");
}

TEST(TypeFormat, PrototypesThatHoldThemselvesEnd) {
  BtfBuilder b;
  const auto self = b.next() + 1;
  b.pointer(self);
  b.prototype(0, {{"a", 1}, {"b", 1}, {"c", 1}});
  const auto text = name_of(b, self);
  EXPECT_LT(text.size(), 1'000'000u);
}

TEST(TypeFormat, StructsShowOffsetsHolesAndPadding) {
  BtfBuilder b;
  const auto u8 = b.integer("u8", 1);
  const auto u32 = b.integer("u32", 4);
  const auto u64 = b.integer("u64", 8);
  const auto inner = b.structure("", 8, {{"x", u32, 0}, {"y", u32, 32}});
  const auto either = b.union_of("", 8, {{"", inner, 0}, {"whole", u64, 0}});
  b.structure("sample", 88,
              {{"a", u8, 0},
               {"b", u32, 32},
               {"", either, 64},
               {"f", u32, 128, 3},
               {"g", u32, 131, 5},
               {"h", u8, 160},
               {"big", b.array(u8, 50), 168},
               {"last", u8, 640}});
  const auto types = *TypeCatalogue::parse(b.build());
  EXPECT_EQ(format_type(*types.find("sample")), R"(struct sample {
	u8                         a;                    /*     0     1 */

	/* XXX 3 bytes hole */

	u32                        b;                    /*     4     4 */
	union {
		struct {
			u32        x;                    /*     8     4 */
			u32        y;                    /*    12     4 */
		};                                       /*     8     8 */
		u64                whole;                /*     8     8 */
	};                                               /*     8     8 */
	u32                        f:3;                  /*    16: 0  4 */
	u32                        g:5;                  /*    16: 3  4 */

	/* XXX 24 bits hole */

	u8                         h;                    /*    20     1 */
	u8                         big[50];              /*    21    50 */

	/* XXX 9 bytes hole */

	/* --- cacheline 1 boundary (64 bytes) was 16 bytes ago --- */
	u8                         last;                 /*    80     1 */

	/* size: 88, cachelines: 2, members: 8 */
	/* sum members: 65, holes: 2, sum holes: 12 */
	/* sum bitfield members: 8 bits, bit holes: 1, sum bit holes: 24 bits */
	/* padding: 7 */
	/* last cacheline: 24 bytes */
};
)");
}

TEST(TypeFormat, OtherKinds) {
  const test::SmallKernel kernel;
  const auto text = [&](std::string_view name) { return format_type(*kernel.types.find(name)); };
  EXPECT_EQ(text("pid_t"), "typedef int pid_t;\n");
  EXPECT_EQ(text("pid_type"),
            "enum pid_type {\n\tPIDTYPE_PID  = 0,\n\tPIDTYPE_TGID = 1,\n\tPIDTYPE_MAX  = 4,\n};\n");
  EXPECT_EQ(text("masks"), "enum masks {\n\tMASK_ALL = 18446744073709551615,\n};\n");
  EXPECT_EQ(text("task_kind"),
            "enum task_kind {\n\tUSER    = 0,\n\tKTHREAD = 2,\n\tBROKEN  = -3,\n};\n");
  EXPECT_EQ(text("int"), "int;  /* size: 4 */\n");
  EXPECT_TRUE(text("atomic_t").starts_with("typedef struct {\n\tint "));
  EXPECT_TRUE(text("atomic_t").ends_with("} atomic_t;\n"));
  EXPECT_EQ(format_type(btf::Type{}), "void;  /* size: 0 */\n");
}

TEST(TypeFormat, ForgedFanOutIsCut) {
  BtfBuilder b;
  auto below = b.structure("", 1, {});
  for (int i = 0; i < 30; ++i)
    below = b.structure("", 1, {{"", below, 0}, {"", below, 0}, {"", below, 0}, {"", below, 0}});
  b.structure("bomb", 1, {{"", below, 0}});
  const auto types = *TypeCatalogue::parse(b.build());
  const auto text = format_type(*types.find("bomb"));
  EXPECT_LT(text.size(), (1u << 20) + 65536);
  EXPECT_TRUE(text.ends_with("/* cut: more than 1 MiB of text */\n"));
}

}  // namespace
}  // namespace vitrine::linux
