#include "format/btf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "support/btf_builder.h"

namespace vitrine::btf {
namespace {

using test::BtfBuilder;

std::shared_ptr<const Btf> parsed(const BtfBuilder& builder,
                                  std::shared_ptr<const Btf> base = nullptr) {
  auto btf = Btf::parse(builder.build(), std::move(base));
  if (!btf) {
    ADD_FAILURE() << name(btf.error().code) << ": " << btf.error().what;
    return nullptr;
  }
  return *btf;
}

Error refused(const BtfBuilder& builder) {
  const auto btf = Btf::parse(builder.build());
  if (btf) {
    ADD_FAILURE() << "parsed";
    return {};
  }
  return btf.error();
}

Type type(const std::shared_ptr<const Btf>& btf, std::uint32_t id) { return btf->type(TypeId{id}); }

/// All kinds there are, once at least.
BtfBuilder every_kind() {
  BtfBuilder b;
  const auto u32 = b.integer("unsigned int", 4);
  const auto i64 = b.integer("long int", 8, true);
  const auto character = b.integer("char", 1, true);
  const auto boolean = b.boolean();
  const auto self = b.next() + 1;
  const auto pointer = b.pointer(self);
  b.structure("node", 24, {{"next", pointer, 0}, {"value", i64, 64}, {"flag", boolean, 128}});
  b.array(character, 16, u32);
  b.union_of("either", 8, {{"number", i64, 0}, {"half", u32, 0}});
  b.enumeration("color", {{"RED", 0}, {"DEEP", 0xffffffff}});
  b.enumeration("level", {{"BELOW", -1}, {"ZERO", 0}}, true);
  b.enumeration64("wide", {{"HUGE", INT64_MIN}, {"ONE", 1}});
  b.forward("elsewhere");
  b.forward("other", true);
  const auto alias = b.type_definition("u32", u32);
  b.restrict_of(b.volatile_of(b.const_of(b.type_tag("rcu", alias))));
  const auto prototype = b.prototype(i64, {{"fd", u32}, {"", 0}});
  const auto function = b.function("do_it", prototype, 1);
  const auto variable = b.variable("runqueues", self);
  b.section(".data..percpu", 64, {{variable, 32, 24}});
  b.floating("double", 8);
  b.declaration_tag("bpf_kfunc", function, -1);
  b.declaration_tag("user", self, 1);
  return b;
}

TEST(Btf, EveryKind) {
  const auto btf = parsed(every_kind());
  ASSERT_TRUE(btf);
  EXPECT_EQ(btf->find("unsigned int", Kind::integer)->size(), 4u);
  EXPECT_FALSE(btf->find("unsigned int", Kind::integer)->is_signed());
  EXPECT_TRUE(btf->find("long int", Kind::integer)->is_signed());
  EXPECT_TRUE(btf->find("_Bool", Kind::integer)->is_bool());
  EXPECT_FALSE(btf->find("_Bool", Kind::integer)->is_byte());
  EXPECT_TRUE(btf->find("char", Kind::integer)->is_byte());

  const auto node = *btf->find("node", Kind::structure);
  EXPECT_EQ(node.size(), 24u);
  EXPECT_TRUE(node.is_compound());
  std::vector<std::string_view> names;
  for (const Member& each : node.members()) names.push_back(each.name);
  EXPECT_EQ(names, (std::vector<std::string_view>{"next", "value", "flag"}));
  EXPECT_EQ(node.member(0).type.kind(), Kind::pointer);
  EXPECT_EQ(node.member(0).type.target(), node);
  EXPECT_EQ(node.member(0).type.size(), 8u);
  EXPECT_EQ(node.member(1).offset(), 8u);

  EXPECT_EQ(btf->find("either", Kind::union_type)->count(), 2u);
  const auto color = *btf->find("color", Kind::enumeration);
  EXPECT_EQ(color.enumerator(1).value, 0xffffffff);
  EXPECT_EQ(color.enumerator_name(0), "RED");
  EXPECT_EQ(color.enumerator_name(7), "");
  EXPECT_EQ(btf->find("level", Kind::enumeration)->enumerator(0).value, -1);
  EXPECT_EQ(btf->find_enumerator("HUGE")->value, INT64_MIN);
  EXPECT_EQ(btf->find_enumerator("ONE")->enumeration.name(), "wide");
  EXPECT_FALSE(btf->find_enumerator("NONE"));
  EXPECT_FALSE(btf->find_enumerator(""));

  EXPECT_FALSE(btf->find("elsewhere", Kind::forward)->is_forward_union());
  EXPECT_TRUE(btf->find("other", Kind::forward)->is_forward_union());
  EXPECT_EQ(btf->find("other", Kind::forward)->size(), 0u);

  const auto alias = *btf->find("u32", Kind::type_definition);
  EXPECT_EQ(alias.resolved().name(), "unsigned int");
  EXPECT_EQ(alias.size(), 4u);

  const auto function = *btf->find("do_it", Kind::function);
  EXPECT_EQ(function.linkage(), 1u);
  const auto prototype = function.target();
  ASSERT_EQ(prototype.parameters().size(), 2u);
  EXPECT_EQ(prototype.parameter(0).name, "fd");
  EXPECT_TRUE(prototype.parameter(1).type.is_void());
  EXPECT_EQ(prototype.target().name(), "long int");

  const auto section = *btf->find(".data..percpu", Kind::data_section);
  ASSERT_EQ(section.count(), 1u);
  EXPECT_EQ(section.section_variable(0).variable.name(), "runqueues");
  EXPECT_EQ(section.section_variable(0).variable.target(), node);
  EXPECT_EQ(section.section_variable(0).variable.linkage(), 1u);
  EXPECT_EQ(section.section_variable(0).offset, 32u);

  EXPECT_EQ(btf->find("double", Kind::floating)->size(), 8u);
  EXPECT_EQ(btf->find("bpf_kfunc", Kind::declaration_tag)->target(), function);
  EXPECT_EQ(btf->find("bpf_kfunc", Kind::declaration_tag)->tagged_component(), -1);
  EXPECT_EQ(btf->find("user", Kind::declaration_tag)->tagged_component(), 1);
}

TEST(Btf, ModifiersAreLookedThrough) {
  BtfBuilder b;
  const auto u8 = b.integer("u8", 1);
  const auto chain =
      b.restrict_of(b.volatile_of(b.const_of(b.type_tag("x", b.type_definition("y", u8)))));
  const auto grid = b.array(b.const_of(b.array(chain, 3)), 5);
  const auto btf = parsed(b);
  EXPECT_EQ(type(btf, chain).resolved(), type(btf, u8));
  EXPECT_EQ(type(btf, chain).size(), 1u);
  EXPECT_EQ(type(btf, grid).size(), 15u);
}

TEST(Btf, OutOfRangeIsVoidOrEmpty) {
  const auto btf = parsed(every_kind());
  EXPECT_TRUE(type(btf, 0).is_void());
  EXPECT_TRUE(type(btf, btf->end_id()).is_void());
  EXPECT_TRUE(type(btf, 0xffffffff).is_void());
  const Type nothing;
  EXPECT_EQ(nothing.kind(), Kind::void_type);
  EXPECT_EQ(nothing.name(), "");
  EXPECT_EQ(nothing.size(), 0u);
  EXPECT_TRUE(nothing.members().empty());
  EXPECT_TRUE(nothing.target().is_void());
  const auto node = *btf->find("node", Kind::structure);
  EXPECT_EQ(node.member(3).name, "");
  EXPECT_TRUE(node.member(3).type.is_void());
  EXPECT_EQ(node.enumerator(0).name, "");
  EXPECT_EQ(node.parameter(0).name, "");
  EXPECT_TRUE(node.section_variable(0).variable.is_void());
}

TEST(Btf, NamesRepeatAndKindsTellThemApart) {
  BtfBuilder b;
  const auto u32 = b.integer("x", 4);
  b.structure("x", 4, {});
  b.structure("x", 8, {});
  b.type_definition("x", u32);
  const auto btf = parsed(b);
  EXPECT_EQ(btf->find("x", Kind::structure)->size(), 4u);
  EXPECT_EQ(btf->find_all("x").size(), 4u);
  EXPECT_FALSE(btf->find("x", Kind::union_type));
  EXPECT_FALSE(btf->find("", Kind::structure));
  EXPECT_FALSE(btf->find("xx", Kind::structure));
}

TEST(Btf, FindsEveryNameAmongThousands) {
  BtfBuilder b;
  for (int i = 0; i < 5000; ++i)
    b.structure("type_" + std::to_string(i), static_cast<std::uint32_t>(i), {});
  const auto btf = parsed(b);
  for (int i = 0; i < 5000; ++i) {
    const auto found = btf->find("type_" + std::to_string(i), Kind::structure);
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), static_cast<std::uint64_t>(i));
  }
}

TEST(Btf, AnonymousMembersAreFlattened) {
  BtfBuilder b;
  const auto u32 = b.integer("u32", 4);
  const auto inner = b.structure("", 8, {{"deep", u32, 0}, {"deeper", u32, 32}});
  const auto either = b.union_of("", 8, {{"", inner, 0}, {"whole", u32, 0}});
  const auto outer = b.structure(
      "outer", 32, {{"first", u32, 0}, {"", b.const_of(either), 64}, {"last", u32, 192}});
  const auto btf = parsed(b);
  EXPECT_EQ(type(btf, outer).find_member("deeper")->offset(), 12u);
  EXPECT_EQ(type(btf, outer).find_member("whole")->offset(), 8u);
  EXPECT_EQ(type(btf, outer).find_member("last")->offset(), 24u);
  EXPECT_EQ(type(btf, outer).find_member("none").error().code, Errc::not_found);
  EXPECT_EQ(type(btf, outer).find_member("").error().code, Errc::not_found);
  EXPECT_EQ(type(btf, u32).find_member("x").error().code, Errc::not_found);
}

TEST(Btf, AnonymousMembersThatHoldThemselvesEnd) {
  BtfBuilder b;
  const auto self = b.next();
  b.structure("loop", 8, {{"", self, 0}});
  const auto btf = parsed(b);
  EXPECT_EQ(type(btf, self).find_member("x").error().code, Errc::cycle);
}

TEST(Btf, ForgedFanOutIsCut) {
  BtfBuilder b;
  // Nineteen floors of twelve anonymous members each, without a cycle.
  auto below = b.structure("", 1, {});
  for (int i = 0; i < 19; ++i) {
    below = b.structure("", 1,
                        {{"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0},
                         {"", below, 0}});
  }
  const auto btf = parsed(b);
  EXPECT_EQ(type(btf, below).find_member("x").error().code, Errc::too_large);
}

TEST(Btf, BitFieldsOfBothEncodings) {
  BtfBuilder b;
  const auto u32 = b.integer("u32", 4);
  const auto old_style = b.integer("", 4, false, 3, 2);
  const auto fresh = b.structure("fresh", 8, {{"a", u32, 0, 3}, {"b", u32, 3, 29}, {"c", u32, 32}});
  const auto old = b.structure("old", 8, {{"a", old_style, 8}, {"b", u32, 32}});
  const auto btf = parsed(b);
  EXPECT_EQ(type(btf, fresh).member(1).bit_offset, 3u);
  EXPECT_EQ(type(btf, fresh).member(1).bit_width, 29u);
  EXPECT_FALSE(type(btf, fresh).member(2).is_bit_field());
  EXPECT_EQ(type(btf, fresh).member(2).offset(), 4u);
  EXPECT_EQ(type(btf, old).member(0).bit_offset, 10u);
  EXPECT_EQ(type(btf, old).member(0).bit_width, 3u);
  EXPECT_FALSE(type(btf, old).member(1).is_bit_field());
}

TEST(Btf, EnumerationsWithoutSignAreSigned) {
  BtfBuilder before_6_0;
  before_6_0.enumeration("e", {{"MINUS", -1}});
  EXPECT_EQ(parsed(before_6_0)->find_enumerator("MINUS")->value, -1);
  BtfBuilder after;
  after.enumeration("s", {{"X", -1}}, true);
  after.enumeration("e", {{"MAX", -1}});
  EXPECT_EQ(parsed(after)->find_enumerator("MAX")->value, 0xffffffff);
}

TEST(Btf, SplitGoesOnFromItsBase) {
  BtfBuilder b;
  const auto u32 = b.integer("u32", 4);
  const auto base = parsed(b);
  auto s = BtfBuilder::upon(b);
  const auto own = s.structure("nf_conn", 8, {{"status", u32, 32}});
  const auto pointer = s.pointer(own);
  const auto split = parsed(s, base);
  ASSERT_TRUE(split);
  EXPECT_EQ(split->first_id(), base->end_id());
  EXPECT_EQ(own, base->end_id());
  const auto found = *split->find("nf_conn", Kind::structure);
  EXPECT_EQ(found.id(), TypeId{own});
  EXPECT_EQ(found.member(0).name, "status");
  EXPECT_EQ(found.member(0).type, type(base, u32));
  EXPECT_EQ(type(split, pointer).target(), found);
  EXPECT_EQ(type(split, u32).name(), "u32");
  EXPECT_FALSE(split->find("u32", Kind::integer)) << "find() looks into one blob alone";
  EXPECT_FALSE(Btf::parse(s.build())) << "without its base its references lead nowhere";
  EXPECT_EQ(Btf::parse(BtfBuilder::upon(s).build(), split).error().code, Errc::unsupported);
}

TEST(Btf, SplitNamesMayBeTheBases) {
  BtfBuilder b;
  b.integer("shared_name", 4);
  const auto base = parsed(b);
  auto s = BtfBuilder::upon(b);
  s.raw("", 4, 0, {}, 8);
  auto blob = s.build();
  const std::uint32_t name_in_base = 1;
  std::memcpy(blob.data() + 24, &name_in_base, 4);
  const auto split = Btf::parse(blob, base);
  ASSERT_TRUE(split);
  EXPECT_EQ((*split)->find("shared_name", Kind::structure)->size(), 8u);
}

TEST(Btf, ModifierCyclesAreRefused) {
  BtfBuilder b;
  b.const_of(2);
  b.volatile_of(1);
  EXPECT_EQ(refused(b).code, Errc::cycle);
  BtfBuilder self;
  self.type_definition("t", 1);
  EXPECT_EQ(refused(self).code, Errc::cycle);
  BtfBuilder array;
  array.array(1, 1);
  EXPECT_EQ(refused(array).code, Errc::cycle);
  BtfBuilder variable;
  variable.variable("v", 1);
  EXPECT_EQ(refused(variable).code, Errc::cycle) << "a variable's size is its type's";
}

TEST(Btf, ChainsMayBeSixtyThreeLong) {
  for (const int length : {63, 64}) {
    BtfBuilder b;
    auto last = b.integer("i", 4);
    for (int i = 0; i < length; ++i) last = b.const_of(last);
    EXPECT_EQ(Btf::parse(b.build()).has_value(), length == 63) << length;
  }
}

TEST(Btf, PointersMayLeadRound) {
  BtfBuilder b;
  b.pointer(1);
  EXPECT_TRUE(parsed(b));
}

TEST(Btf, ArraysOfTooManyBytesAreRefused) {
  BtfBuilder b;
  auto last = b.integer("i", 8);
  for (int i = 0; i < 3; ++i) last = b.array(last, 0xffffffff);
  EXPECT_EQ(refused(b).code, Errc::too_large);
}

TEST(Btf, ReferencesToNowhereAreRefused) {
  const auto with = [](auto&& add) {
    BtfBuilder b;
    b.integer("i", 4);
    add(b);
    return refused(b).code;
  };
  EXPECT_EQ(with([](BtfBuilder& b) { b.pointer(3); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.array(99, 1); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.array(1, 1, 99); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.structure("s", 4, {{"m", 99, 0}}); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.prototype(99, {}); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.prototype(0, {{"a", 99}}); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.variable("v", 99); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.section("s", 4, {{99, 0, 0}}); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.declaration_tag("t", 99); }), Errc::out_of_bounds);
  EXPECT_EQ(with([](BtfBuilder& b) { b.integer("wide", 17); }), Errc::malformed);
  EXPECT_EQ(with([](BtfBuilder& b) { b.integer("bits", 1, false, 9); }), Errc::malformed);
  EXPECT_EQ(with([](BtfBuilder& b) { b.enumeration("e", {}, false, 3); }), Errc::malformed);
}

TEST(Btf, UnknownKindsAreRefusedByName) {
  BtfBuilder b;
  b.raw("", 22, 0);
  const auto error = refused(b);
  EXPECT_EQ(error.code, Errc::unsupported);
  EXPECT_STREQ(error.what, "BTF kind 22 (LOCSEC)");
  EXPECT_EQ(error.address, 24u);
  BtfBuilder none;
  none.raw("", 0, 0);
  EXPECT_STREQ(refused(none).what, "BTF kind 0 (UNKN)");
  BtfBuilder far;
  far.raw("", 99, 0);
  EXPECT_STREQ(refused(far).what, "a BTF kind above 31");
}

TEST(Btf, UnknownKindsWithALayoutAreSteppedOver) {
  BtfBuilder b;
  b.raw("mystery", 21, 2, {1, 2, 3, 4, 5});  // 4 fixed bytes, 8 each
  const auto after = b.structure("after", 4, {});
  for (int kind = 0; kind < 21; ++kind) b.layout({{0, 0}});
  b.layout({{4, 8}});
  const auto btf = parsed(b);
  ASSERT_TRUE(btf);
  EXPECT_EQ(type(btf, 1).kind(), Kind::unknown);
  EXPECT_EQ(type(btf, 1).raw_kind(), 21);
  EXPECT_EQ(type(btf, 1).name(), "mystery");
  EXPECT_EQ(type(btf, 1).size(), 0u);
  EXPECT_EQ(btf->find("after", Kind::structure)->id(), TypeId{after});
}

TEST(Btf, LargeCountsOfLinux7) {
  BtfBuilder b;
  const auto id = b.enumeration("many", {});
  auto blob = b.build();
  // 70,000 enumerators: a count of more than 16 bits.
  constexpr std::uint32_t kCount = 70'000;
  const std::uint32_t info = 6u << 24 | kCount;
  std::memcpy(blob.data() + 28, &info, 4);
  blob.insert(blob.begin() + 36, kCount * 8, std::byte{0});
  const std::uint32_t types = 12 + kCount * 8;
  std::memcpy(blob.data() + 12, &types, 4);
  std::memcpy(blob.data() + 16, &types, 4);
  const auto btf = Btf::parse(blob);
  ASSERT_TRUE(btf);
  EXPECT_EQ((*btf)->type(TypeId{id}).count(), kCount);
}

TEST(Btf, HeadersAreChecked) {
  const auto good = every_kind().build();
  const auto with = [&](std::size_t at, auto value) {
    auto blob = good;
    std::memcpy(blob.data() + at, &value, sizeof value);
    const auto btf = Btf::parse(blob);
    return btf ? Errc::invalid : btf.error().code;
  };
  EXPECT_EQ(with(0, std::uint16_t{0x9feb}), Errc::unsupported);
  EXPECT_EQ(with(0, std::uint16_t{0x1234}), Errc::malformed);
  EXPECT_EQ(with(2, std::uint8_t{2}), Errc::unsupported);
  EXPECT_EQ(with(4, 23u), Errc::malformed);
  EXPECT_EQ(with(4, 0xffffffffu), Errc::too_large);
  EXPECT_EQ(with(8, 2u), Errc::malformed) << "types out of line";
  EXPECT_EQ(with(12, 0xfffffff0u), Errc::too_large);
  EXPECT_EQ(with(16, 0u), Errc::malformed) << "sections over one another";
  EXPECT_EQ(with(20, static_cast<std::uint32_t>(good.size())), Errc::out_of_bounds);
  EXPECT_EQ(with(20, 0u), Errc::malformed) << "no strings";
  EXPECT_EQ(with(good.size() - 1, 'x'), Errc::malformed) << "the last string does not end";
  EXPECT_EQ(with(good.size() - 2, '\x1b'), Errc::malformed) << "an escape for terminals";
  EXPECT_EQ(with(24, 0x00ffffffu), Errc::out_of_bounds) << "a name out of its section";
}

TEST(Btf, HeaderSaysHowLongABlobIs) {
  auto blob = every_kind().build();
  const auto header = parse_header(Bytes(blob).first(24));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->blob_size, blob.size());
  blob.resize(blob.size() + 100, std::byte{0xff});
  const auto btf = Btf::parse(blob);
  ASSERT_TRUE(btf) << "what follows the blob does not matter";
  EXPECT_EQ((*btf)->blob().size(), header->blob_size);
}

TEST(Btf, EveryTruncationIsRefused) {
  const auto good = every_kind().build();
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(Btf::parse({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}))
        << size;
  }
}

// The type section ends in the midst of each entry, and the header says so.
TEST(Btf, EveryTruncatedTypeSectionIsRefusedOrShorter) {
  const auto good = every_kind().build();
  std::uint32_t types;
  std::memcpy(&types, good.data() + 12, 4);
  const auto whole = (*Btf::parse(good))->end_id();
  for (std::uint32_t size = 0; size < types; ++size) {
    auto blob = good;
    std::memcpy(blob.data() + 12, &size, 4);
    const auto btf = Btf::parse(blob);
    if (btf) {
      EXPECT_LT((*btf)->end_id(), whole);
    }
  }
}

// Whatever one word of the types becomes: refused, or all of it can be asked.
TEST(Btf, EveryForgedWordIsRefusedOrHarmless) {
  const auto good = every_kind().build();
  for (std::size_t at = 24; at + 4 <= good.size(); at += 4) {
    for (const std::uint32_t value : {0u, 1u, 0xffffffffu, 0x04ffffffu, 0x8400ffffu, 0x03000000u}) {
      auto blob = good;
      std::memcpy(blob.data() + at, &value, 4);
      const auto btf = Btf::parse(blob);
      if (!btf) continue;
      for (std::uint32_t id = 0; id <= (*btf)->end_id(); ++id) {
        const Type each = (*btf)->type(TypeId{id});
        EXPECT_LE(each.resolved().name().size(), blob.size());
        (void)each.size();
        (void)each.find_member("value");
        for (const Member& member : each.members()) (void)member.type.size();
      }
    }
  }
}

TEST(Btf, MemoryIsCounted) {
  const auto btf = parsed(every_kind());
  EXPECT_GT(btf->memory_bytes(), btf->blob().size());
  EXPECT_LT(btf->memory_bytes(), btf->blob().size() + 2048);
}

}  // namespace
}  // namespace vitrine::btf
