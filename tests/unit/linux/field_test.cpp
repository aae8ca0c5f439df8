#include "linux/field.h"

#include <gtest/gtest.h>

#include "linux/field_value.h"
#include "unit/linux/fake_memory.h"
#include "unit/linux/types_fixture.h"

namespace vitrine::linux {
namespace {

constexpr Gva kTask{0xffff888000001f80};  // across two pages
constexpr Gva kMm{0xffff888000004000};
constexpr Gva kFile{0xffff888000005000};
constexpr Gva kDentry{0xffff888000006000};
constexpr Gva kSignal{0xffff888000007000};

class FieldTest : public ::testing::Test {
 protected:
  FieldTest() {
    for (std::uint64_t i = 0; i < 272; i += 8) memory_.put(kTask + i, std::uint64_t{0});
    memory_.put(kTask, std::uint32_t{0x80000001});
    memory_.put(kTask + 4, std::int32_t{-42});
    memory_.put(kTask + 8, kMm);
    memory_.put(kTask + 16, kSignal);
    memory_.text(kTask + 24, "bash");
    memory_.put(kTask + 56, std::uint32_t{1 | 0b1011 << 1 | 0x2aaaaaa << 5});
    memory_.put(kTask + 60, std::uint32_t{77});
    memory_.put(kTask + 64, std::uint64_t{0x1122334455667788});
    memory_.put(kTask + 72, std::int32_t{-3});
    memory_.put(kTask + 76, std::uint8_t{1});
    memory_.put(kTask + 80, std::int64_t{-5});
    memory_.put(kTask + 104, std::uint32_t{11});
    memory_.put(kTask + 108, std::uint32_t{12});
    memory_.put(kMm + 8, std::uint64_t{0x400000});
    memory_.put(kMm + 16, std::int32_t{3});
    memory_.put(kMm + 40, kFile);
    for (std::uint64_t i = 0; i < 4; ++i) memory_.put(kMm + 64 + i * 8, i * 100);
    memory_.put(kFile + 4, std::uint32_t{0x1d});
    memory_.put(kFile + 24, kDentry);
    memory_.put(kDentry + 8, kDentry + 100);
    memory_.text(kDentry + 100, "passwd");
    memory_.write(kDentry + 16, bytes_of("12345678"));
    memory_.put(kSignal + 16 + 7 * 16, std::uint64_t{1024});
  }

  template <class T>
  Field<T> field(PathName name) {
    auto bound = Field<T>::from(kernel_.types, name);
    if (!bound) {
      ADD_FAILURE() << bound.error().message;
      return {};
    }
    return *bound;
  }
  template <class AnyField>
  Problem refused(PathName name) {
    auto bound = AnyField::from(kernel_.types, name);
    if (!bound) return bound.error();
    ADD_FAILURE() << name.text() << " was bound";
    return {};
  }

  test::SmallKernel kernel_;
  test::FakeMemory memory_;
};

enum class Kind : std::int32_t { user = 0, kthread = 2, broken = -3 };

TEST_F(FieldTest, ReadsScalars) {
  EXPECT_EQ(field<std::int32_t>("task_struct.pid").read(memory_, kTask), -42);
  EXPECT_EQ(field<std::uint32_t>("task_struct.__state").read(memory_, kTask), 0x80000001);
  EXPECT_EQ(field<Gva>("task_struct.mm").read(memory_, kTask), kMm);
  EXPECT_EQ(field<bool>("task_struct.on_cpu").read(memory_, kTask), true);
  EXPECT_EQ(field<Kind>("task_struct.kind").read(memory_, kTask), Kind::broken);
  EXPECT_EQ(field<std::uint32_t>("task_struct.half").read(memory_, kTask), 0x55667788);
  EXPECT_EQ(field<std::uint32_t>("task_struct.caps[1]").read(memory_, kTask), 12);
  EXPECT_EQ(field<std::uint32_t>("struct task_struct.wide").read(memory_, kTask), 77);
}

TEST_F(FieldTest, ExtendsByTheMembersOwnSign) {
  EXPECT_EQ(field<std::int64_t>("task_struct.pid").read(memory_, kTask), -42);
  EXPECT_EQ(field<std::uint64_t>("task_struct.pid").read(memory_, kTask),
            static_cast<std::uint64_t>(-42));
  EXPECT_EQ(field<std::int64_t>("task_struct.__state").read(memory_, kTask), 0x80000001);
  EXPECT_EQ(field<std::uint64_t>("task_struct.__state").read(memory_, kTask), 0x80000001u);
}

TEST_F(FieldTest, ExtractsBitFields) {
  EXPECT_EQ(field<bool>("task_struct.exiting").read(memory_, kTask), true);
  EXPECT_EQ(field<std::int8_t>("task_struct.level").read(memory_, kTask), -5);
  EXPECT_EQ(field<std::uint32_t>("task_struct.rest").read(memory_, kTask), 0x2aaaaaau);
}

TEST_F(FieldTest, FollowsPointers) {
  EXPECT_EQ(field<std::uint32_t>("task_struct.mm->exe_file->f_mode").read(memory_, kTask), 0x1d);
  EXPECT_EQ(field<Gva>("task_struct.mm->exe_file->f_path.dentry").read(memory_, kTask), kDentry);
  EXPECT_EQ(field<std::uint64_t>("task_struct.signal->rlim[7].rlim_cur").read(memory_, kTask),
            1024);
  EXPECT_EQ(field<std::int32_t>("task_struct.mm->mm_users.counter").read(memory_, kTask), 3);
  EXPECT_EQ(field<Gva>("task_struct.mm->start_code").read(memory_, kTask), Gva{0x400000});
  memory_.put(kTask + 112, kMm);
  EXPECT_EQ(field<std::int32_t>("task_struct.far->mm_users.counter").read(memory_, kTask), 3)
      << "a forward declaration whose definition is known";
}

TEST_F(FieldTest, IndexesPointers) {
  const Gva table{0xffff88800000a000};
  memory_.put(kTask + 88, table);
  memory_.put(table + 3 * 8, kFile);
  EXPECT_EQ(field<std::uint32_t>("task_struct.fd[3]->f_mode").read(memory_, kTask), 0x1d);
}

TEST_F(FieldTest, ReadsText) {
  EXPECT_EQ(field<std::string>("task_struct.comm").read(memory_, kTask), "bash");
  EXPECT_EQ(field<std::string>("dentry.d_name").read(memory_, kDentry), "passwd");
  EXPECT_EQ(field<std::string>("dentry.d_iname").read(memory_, kDentry), "12345678")
      << "full, without a NUL";
  EXPECT_EQ(
      field<std::string>("task_struct.mm->exe_file->f_path.dentry->d_name").read(memory_, kTask),
      "passwd");
  memory_.put(kDentry + 8, Gva{});
  EXPECT_EQ(field<std::string>("dentry.d_name").read(memory_, kDentry).error().code,
            Errc::not_found);
  EXPECT_EQ(field<std::string>("dentry.d_name").find(memory_, kDentry).value(),
            std::optional<std::string>());
}

TEST_F(FieldTest, NullOnTheWayIsNotFound) {
  const auto mode = field<std::uint32_t>("task_struct.mm->exe_file->f_mode");
  memory_.put(kMm + 40, Gva{});
  const auto value = mode.read(memory_, kTask);
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code, Errc::not_found);
  EXPECT_EQ(value.error().address, (kMm + 40).value);
  EXPECT_STREQ(value.error().what, "task_struct.mm->exe_file->f_mode");
  EXPECT_EQ(mode.find(memory_, kTask).value(), std::optional<std::uint32_t>());
}

TEST_F(FieldTest, EveryFailingReadIsNamedWithItsAddress) {
  const auto mode = field<std::uint32_t>("task_struct.mm->exe_file->f_mode");
  const Gva places[] = {kTask + 8, kMm + 40, kFile + 4};
  for (std::size_t i = 0; i < 3; ++i) {
    memory_.reads = 0;
    memory_.fail_at = i + 1;
    const auto value = mode.read(memory_, kTask);
    ASSERT_FALSE(value);
    EXPECT_EQ(value.error().code, Errc::not_present);
    EXPECT_EQ(value.error().address, places[i].value);
    EXPECT_STREQ(value.error().what, "task_struct.mm->exe_file->f_mode");
    EXPECT_EQ(mode.find(memory_, kTask + 0).has_value(), i != 99) << "only the swept read fails";
  }
}

TEST_F(FieldTest, TakesTheFirstNameThereIs) {
  const auto state =
      Field<std::uint64_t>::from(kernel_.types, {"task_struct.state", "task_struct.__state"});
  ASSERT_TRUE(state);
  EXPECT_STREQ(state->path(), "task_struct.__state");
  EXPECT_EQ(state->offset(), 0u);
}

TEST_F(FieldTest, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refused<Field<std::int32_t>>("task_struct.__state").code, Errc::invalid)
      << "unsigned, same width";
  EXPECT_EQ(refused<Field<std::uint32_t>>("task_struct.whole").code, Errc::invalid)
      << "narrower than the member";
  EXPECT_EQ(refused<Field<std::uint64_t>>("task_struct.mm").code, Errc::invalid) << "a pointer";
  EXPECT_EQ(refused<Field<Gva>>("task_struct.pid").code, Errc::invalid);
  EXPECT_EQ(refused<Field<Gva>>("task_struct.exit_code").code, Errc::invalid) << "signed";
  EXPECT_EQ(refused<Field<bool>>("task_struct.__state").code, Errc::invalid);
  EXPECT_EQ(refused<Field<std::uint64_t>>("task_struct.tasks").code, Errc::invalid) << "a struct";
  EXPECT_EQ(refused<Field<std::uint64_t>>("task_struct.comm").code, Errc::invalid);
  EXPECT_EQ(refused<Field<std::string>>("task_struct.pid").code, Errc::invalid);
  EXPECT_EQ(refused<Field<std::string>>("task_struct.caps").code, Errc::invalid);
  EXPECT_EQ(refused<ArrayField<std::uint64_t>>("task_struct.pid").code, Errc::invalid);
  EXPECT_EQ(refused<Embedded>("task_struct.mm->mm_users").code, Errc::invalid);
  EXPECT_EQ(refused<Field<std::int32_t>>("task_struct.__state").message,
            "task_struct.__state is unsigned int, not int32_t");
}

TEST_F(FieldTest, UnboundFieldsReadNothing) {
  EXPECT_EQ(Field<std::int32_t>().read(memory_, kTask).error().code, Errc::invalid);
  EXPECT_EQ(Field<std::string>().read(memory_, kTask).error().code, Errc::invalid);
  EXPECT_EQ(ArrayField<std::uint32_t>().read(memory_, kTask, 0).error().code, Errc::invalid);
  EXPECT_EQ(ArrayField<std::uint32_t>().read_all(memory_, kTask).error().code, Errc::invalid);
  EXPECT_FALSE(OptionalField<bool>().exists());
  Snapshot copy({0, 8});
  ASSERT_TRUE(copy.load(memory_, kTask));
  EXPECT_FALSE(Field<std::int32_t>().read(copy));
  EXPECT_FALSE(Field<std::string>().read(copy));
  EXPECT_FALSE(ArrayField<std::uint32_t>().read(copy, 0));
}

TEST_F(FieldTest, OptionalFieldsMayBeAbsent) {
  const auto absent = OptionalField<std::int32_t>::from(kernel_.types, "task_struct.seccomp.mode");
  ASSERT_TRUE(absent);
  EXPECT_FALSE(absent->exists());
  EXPECT_EQ(absent->read(memory_, kTask).value(), std::optional<std::int32_t>());
  const auto there = OptionalField<std::int32_t>::from(kernel_.types, "task_struct.pid");
  EXPECT_TRUE(there->exists());
  EXPECT_EQ(there->read(memory_, kTask).value(), std::optional<std::int32_t>(-42));
  EXPECT_FALSE(OptionalField<std::int32_t>::from(kernel_.types, "task_struct.mm"))
      << "there, but a pointer";
}

TEST_F(FieldTest, ArraysOfScalars) {
  const auto caps = ArrayField<std::uint32_t>::from(kernel_.types, "task_struct.caps");
  ASSERT_TRUE(caps);
  EXPECT_EQ(caps->count(), 2u);
  EXPECT_EQ(caps->read(memory_, kTask, 1), 12u);
  EXPECT_EQ(caps->read(memory_, kTask, 2).error().code, Errc::out_of_bounds);
  EXPECT_EQ(caps->read_all(memory_, kTask), (std::vector<std::uint32_t>{11, 12}));
  const auto auxv = ArrayField<std::uint64_t>::from(kernel_.types, "task_struct.mm->saved_auxv");
  EXPECT_EQ(auxv->read_all(memory_, kTask, 3), (std::vector<std::uint64_t>{0, 100, 200}));
  const auto tail = ArrayField<std::uint32_t>::from(kernel_.types, "task_struct.tail");
  EXPECT_EQ(tail->count(), 0u);
  EXPECT_EQ(tail->read_all(memory_, kTask).error().code, Errc::too_large)
      << "a flexible array wants a count";
  memory_.put(kTask + 256 + 4, std::uint32_t{9});
  EXPECT_EQ(tail->read(memory_, kTask, 1), 9u);
}

TEST_F(FieldTest, EmbeddedMembersLeadToTheirOwner) {
  const auto tasks = Embedded::from(kernel_.types, "task_struct.tasks");
  ASSERT_TRUE(tasks);
  EXPECT_EQ(tasks->in(kTask), kTask + 40);
  EXPECT_EQ(tasks->owner(kTask + 40), kTask);
  EXPECT_EQ(tasks->size(), 16u);
  EXPECT_EQ(tasks->count(), 1u);
  const auto nodes = Embedded::from(kernel_.types, "task_struct.nodes");
  EXPECT_EQ(nodes->count(), 3u);
  EXPECT_EQ(nodes->stride(), 16u);
  EXPECT_EQ(nodes->element(kTask, 2), kTask + 128 + 32);
}

TEST_F(FieldTest, SnapshotsReadOnce) {
  const auto pid = field<std::int32_t>("task_struct.pid");
  const auto comm = field<std::string>("task_struct.comm");
  const auto mode = field<std::uint32_t>("task_struct.mm->exe_file->f_mode");
  const auto level = field<std::int32_t>("task_struct.level");
  const auto caps = *ArrayField<std::uint32_t>::from(kernel_.types, "task_struct.caps");
  const auto absent = *OptionalField<bool>::from(kernel_.types, "task_struct.nothing");
  const auto late = field<std::uint64_t>("task_struct.whole");
  const Span span = Span::covering(pid, comm, mode, level, absent);
  EXPECT_EQ(span, (Span{4, 53}));
  Snapshot copy(span);
  EXPECT_EQ(pid.read(copy).error().code, Errc::out_of_bounds) << "before load()";
  memory_.reads = 0;
  ASSERT_TRUE(copy.load(memory_, kTask));
  EXPECT_EQ(pid.read(copy), -42);
  EXPECT_EQ(comm.read(copy), "bash");
  EXPECT_EQ(level.read(copy), -5);
  EXPECT_EQ(comm.read(memory_, copy), "bash");
  EXPECT_EQ(absent.read(copy).value(), std::optional<bool>());
  EXPECT_EQ(memory_.reads, 1u);
  EXPECT_EQ(mode.read(memory_, copy), 0x1du);
  EXPECT_EQ(memory_.reads, 3u) << "the first pointer is in the copy";
  EXPECT_EQ(mode.read(copy).error().code, Errc::invalid);
  EXPECT_EQ(late.read(copy).error().code, Errc::out_of_bounds);
  EXPECT_EQ(caps.read(copy, 0).error().code, Errc::out_of_bounds);

  memory_.put(kTask + 4, std::int32_t{1});
  EXPECT_EQ(pid.read(copy), -42) << "a copy stays as it was";
  memory_.unmap(kTask);
  EXPECT_FALSE(copy.load(memory_, kTask));
  EXPECT_EQ(pid.read(copy).error().code, Errc::out_of_bounds) << "nothing is left of a failed load";
  EXPECT_EQ(Snapshot({0, Snapshot::kMaxSize + 1}).load(memory_, kTask).error().code,
            Errc::too_large);
}

TEST_F(FieldTest, TextThroughAPointerFromACopy) {
  const auto name = field<std::string>("dentry.d_name");
  Snapshot copy(Span::covering(name));
  ASSERT_TRUE(copy.load(memory_, kDentry));
  EXPECT_EQ(name.read(memory_, copy), "passwd");
  EXPECT_EQ(name.read(copy).error().code, Errc::invalid);
}

TEST_F(FieldTest, BinderNamesAllThatIsMissing) {
  Field<std::int32_t> pid;
  Field<std::uint64_t> gone, also_gone;
  OptionalField<bool> maybe;
  Embedded tasks;
  FieldBinder bind(kernel_.types);
  bind(pid, "task_struct.pid");
  bind(tasks, "task_struct.tasks");
  bind(maybe, "task_struct.maybe");
  EXPECT_TRUE(bind.done());
  EXPECT_EQ(
      bind.absent(),
      (std::vector<std::string>{"task_struct.maybe: struct task_struct has no member maybe"}));
  bind(gone, {"task_struct.one", "task_struct.two"});
  bind(also_gone, "no_such_struct.x");
  const auto done = bind.done();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::not_found);
  EXPECT_EQ(done.error().message,
            "task_struct.two: struct task_struct has no member two; this kernel has no type "
            "no_such_struct");
  EXPECT_TRUE(pid.bound());
  EXPECT_FALSE(gone.bound());
}

TEST_F(FieldTest, DynamicValues) {
  const auto text = [&](std::string_view path) {
    const auto compiled = MemberPath::compile(kernel_.types, path);
    if (!compiled) return compiled.error().message;
    const auto value = read_value(memory_, kTask, *compiled);
    return value ? to_text(*value) : describe(value.error());
  };
  EXPECT_EQ(text("task_struct.pid"), "-42");
  EXPECT_EQ(text("task_struct.__state"), "2147483649");
  EXPECT_EQ(text("task_struct.comm"), "\"bash\"");
  EXPECT_EQ(text("task_struct.mm"), "0xffff888000004000");
  EXPECT_EQ(text("task_struct.kind"), "BROKEN (-3)");
  EXPECT_EQ(text("task_struct.on_cpu"), "true");
  EXPECT_EQ(text("task_struct.level"), "-5");
  EXPECT_EQ(text("task_struct.caps"), "0b 00 00 00 0c 00 00 00");
  EXPECT_EQ(text("task_struct.mm->exe_file->f_path.dentry->d_iname"), "31 32 33 34 35 36 37 38")
      << "u8: bytes";
  EXPECT_EQ(text("task_struct.tail"), "unsupported at 0xffff888000002080 (a value without a size)");
  memory_.write(kTask + 24, bytes_of("a\"\x1b\\"));
  EXPECT_EQ(text("task_struct.comm"), "\"a\\\"\\x1b\\\\\"") << "a terminal sees no escape";
}

}  // namespace
}  // namespace vitrine::linux
