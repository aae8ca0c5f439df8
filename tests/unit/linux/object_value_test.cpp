// Whole objects read by the types of a small kernel.
#include "linux/object_value.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/linux/fake_memory.h"
#include "unit/linux/types_fixture.h"

namespace vitrine::linux {
namespace {

constexpr Gva kTask{0xffff888000001000};

class ObjectValueTest : public ::testing::Test {
 protected:
  ObjectValueTest() {
    memory_.put(kTask + 0, std::uint32_t{1});
    memory_.put(kTask + 4, std::int32_t{-7});
    memory_.put(kTask + 8, Gva{0xffff888000002f80});
    memory_.text(kTask + 24, "bash");
    memory_.put(kTask + 56, std::uint32_t{0b11'0111});  // exiting 1, level -5, rest 1
    memory_.put(kTask + 64, std::uint64_t{0x1'0000'0002});
    memory_.put(kTask + 72, std::int32_t{2});
    memory_.put(kTask + 104, std::uint32_t{3});
  }
  Outcome<ObjectValue> read(std::string_view path, Gva object = kTask) {
    return read_object(memory_, kernel_.types, *MemberPath::compile(kernel_.types, path), object,
                       at_);
  }
  static const ObjectValue& part(const ObjectValue& of, std::string_view name) {
    return *std::ranges::find(of.parts, name, &ObjectValue::name);
  }

  test::SmallKernel kernel_;
  test::FakeMemory memory_;
  Gva at_;
};

TEST_F(ObjectValueTest, AllMembers) {
  const auto task = read("task_struct");
  ASSERT_TRUE(task) << task.error().message;
  EXPECT_EQ(at_, kTask);
  EXPECT_EQ(part(*task, "pid").value, FieldValue(std::int64_t{-7}));
  EXPECT_EQ(part(*task, "comm").value, FieldValue(std::string("bash")));
  EXPECT_EQ(part(*task, "mm").value, FieldValue(Gva{0xffff888000002f80}));
  // Of an anonymous struct and an anonymous union, bit fields among them.
  EXPECT_EQ(part(*task, "exiting").value, FieldValue(std::uint64_t{1}));
  EXPECT_EQ(part(*task, "level").value, FieldValue(std::int64_t{-5}));
  EXPECT_EQ(part(*task, "rest").value, FieldValue(std::uint64_t{1}));
  EXPECT_EQ(part(*task, "whole").value, FieldValue(std::uint64_t{0x1'0000'0002}));
  EXPECT_EQ(part(*task, "half").value, FieldValue(std::uint64_t{2}));
  EXPECT_EQ(std::get<EnumValue>(part(*task, "kind").value).name, "KTHREAD");
  const auto& caps = part(*task, "caps");
  EXPECT_EQ(caps.form, ObjectValue::Form::array);
  ASSERT_EQ(caps.parts.size(), 2U);
  EXPECT_EQ(caps.parts[0].value, FieldValue(std::uint64_t{3}));
  ASSERT_EQ(part(*task, "nodes").parts.size(), 3U);
  EXPECT_EQ(part(*task, "nodes").parts[2].parts[1].name, "prev");
  EXPECT_TRUE(part(*task, "tail").parts.empty());  // flexible
}

TEST_F(ObjectValueTest, ALargeArrayIsCut) {
  memory_.put(Gva{0xffff888000005000}, std::uint64_t{0});
  const auto limits = read("signal_struct.rlim", Gva{0xffff888000005000});
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->parts.size(), kMostElements);
  EXPECT_EQ(limits->left_out, 0U);
}

TEST_F(ObjectValueTest, WhatCannotBeReadIsMarkedByItself) {
  memory_.put(Gva{0xffff888000002f80} + 8, std::uint64_t{0x400000});  // the next page is not there
  const auto mm = read("task_struct.mm[0]");
  ASSERT_TRUE(mm) << mm.error().message;
  EXPECT_EQ(at_, Gva{0xffff888000002f80});
  EXPECT_EQ(part(*mm, "start_code").value, FieldValue(std::uint64_t{0x400000}));
  EXPECT_EQ(part(*mm, "saved_auxv").form, ObjectValue::Form::array);
  const auto nothing = read("task_struct", Gva{0xffff888000009000});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, Errc::not_present);
  // Across the end of what is there: 0x1000 to 0x2fff are two pages, 0x3000 is not.
  const auto cut = read("task_struct", Gva{0xffff888000002f80});
  ASSERT_TRUE(cut);
  EXPECT_EQ(part(*cut, "pid").form, ObjectValue::Form::scalar);
  EXPECT_EQ(part(part(*cut, "nodes").parts[0], "next").form, ObjectValue::Form::unreadable);
}

TEST_F(ObjectValueTest, NullOnTheWayAndNothingToRead) {
  memory_.put(kTask + 8, Gva{0});
  const auto null = read("task_struct.mm->exe_file");
  ASSERT_FALSE(null);
  EXPECT_EQ(null.error().code, Errc::not_found);
  EXPECT_NE(null.error().message.find("is null"), std::string::npos);
  EXPECT_EQ(read("task_struct.tail").error().code, Errc::unsupported);
}

}  // namespace
}  // namespace vitrine::linux
