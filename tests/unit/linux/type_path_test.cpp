#include "linux/type_path.h"

#include <gtest/gtest.h>

#include "base/edit_distance.h"
#include "linux/type_format.h"
#include "unit/linux/types_fixture.h"

namespace vitrine::linux {
namespace {

class TypePathTest : public ::testing::Test {
 protected:
  std::string problem(std::string_view path) {
    const auto compiled = MemberPath::compile(kernel_.types, path);
    if (compiled) return "fine";
    return std::string(name(compiled.error().code)) + ": " + compiled.error().message + " | " +
           compiled.error().hint;
  }
  test::SmallKernel kernel_;
};

TEST_F(TypePathTest, CompilesToOffsets) {
  const auto path = MemberPath::compile(kernel_.types, "task_struct.mm->exe_file->f_path.dentry");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->route().hop_count, 2);
  EXPECT_EQ(path->route().hops[0], 8u);
  EXPECT_EQ(path->route().hops[1], 40u);
  EXPECT_EQ(path->route().offset, 24u);
  EXPECT_EQ(path->route().size, 8u);
  EXPECT_EQ(type_name(path->type()), "struct dentry *");
  EXPECT_EQ(path->root().name(), "task_struct");
}

TEST_F(TypePathTest, ATypeAloneIsAPath) {
  const auto path = MemberPath::compile(kernel_.types, "struct task_struct");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->route().size, 256u);
  EXPECT_EQ(MemberPath::compile(kernel_.types, "atomic_t.counter")->route().size, 4u);
}

TEST_F(TypePathTest, SaysWhichStepFailedAndWhatIsNear) {
  EXPECT_EQ(problem("task_struct.pidd"),
            "not_found: task_struct.pidd: struct task_struct has no member pidd | nearest: pid");
  EXPECT_EQ(problem("task_struct.mm->exe_fil->f_mode"),
            "not_found: task_struct.mm->exe_fil->f_mode: struct mm_struct has no member exe_fil | "
            "nearest: exe_file");
  EXPECT_EQ(problem("task_strukt.pid"),
            "not_found: this kernel has no type task_strukt | there is task_struct");
  EXPECT_EQ(problem("task_struct.mm.exe_file"),
            "not_found: task_struct.mm.exe_file: task_struct.mm is a pointer | write "
            "task_struct.mm->exe_file");
  EXPECT_EQ(problem("task_struct.tasks->next"),
            "not_found: task_struct.tasks->next: task_struct.tasks is not a pointer but struct "
            "list_head | write "
            "task_struct.tasks.next");
  EXPECT_EQ(problem("task_struct.pid.x"),
            "not_found: task_struct.pid.x: task_struct.pid is pid_t, which has no members | ");
  EXPECT_EQ(problem("task_struct.pid[0]"),
            "not_found: task_struct.pid[0]: task_struct.pid is not an array but pid_t | ");
  EXPECT_EQ(
      problem("task_struct.signal->rlim[16]"),
      "out_of_bounds: task_struct.signal->rlim[16]: task_struct.signal->rlim has 16 elements | ");
  EXPECT_EQ(problem("task_struct.release->x"),
            "not_found: task_struct.release->x: task_struct.release is void (*)(struct task_struct "
            "*task, ...): nothing to step into | ");
  EXPECT_EQ(problem("path.mnt->x"),
            "not_found: path.mnt->x: path.mnt is void *: nothing to step into | ");
  EXPECT_EQ(problem("task_struct.tail[1000000]"), "fine") << "a flexible array";
  EXPECT_EQ(problem("task_struct.parent[99999999]"),
            "unsupported: task_struct.parent[99999999]: more than 4 GiB into its object | ");
  EXPECT_TRUE(problem("task_struct.parent->parent->parent->parent->parent->parent->parent->pid")
                  .starts_with("unsupported"));
}

TEST_F(TypePathTest, RefusesWhatIsNoPath) {
  for (const std::string_view text :
       {"", ".", "a.", "a..b", "a->", "a-b", "a.b c", "a[", "a[]", "a[x]", "a[1", "a[1234567890]",
        "a b", ":a", "a.b\x1b", "struct ", "struct"}) {
    if (text == "struct") continue;
    EXPECT_FALSE(is_path(text)) << text;
    EXPECT_TRUE(problem(text).starts_with("invalid")) << text;
  }
  for (const std::string_view text :
       {"a", "a.b", "a->b[0][1].c", "struct a.b", "union a", "mod:a.b", "mod:struct a"}) {
    EXPECT_TRUE(is_path(text)) << text;
  }
}

TEST_F(TypePathTest, TriesEveryStructOfTheName) {
  test::BtfBuilder b;
  const auto u32 = b.integer("u32", 4);
  b.structure("twice", 4, {{"first", u32, 0}});
  b.structure("twice", 8, {{"second", u32, 32}});
  const auto types = *TypeCatalogue::parse(b.build());
  EXPECT_EQ(MemberPath::compile(types, "twice.second")->route().offset, 4u);
  EXPECT_TRUE(MemberPath::compile(types, "twice.first"));
  EXPECT_FALSE(MemberPath::compile(types, "twice.third"));
}

TEST_F(TypePathTest, CatalogueFindsByName) {
  const auto& types = kernel_.types;
  EXPECT_EQ(types.size_of("task_struct"), 256u);
  EXPECT_EQ(types.size_of("struct task_struct"), 256u);
  EXPECT_EQ(types.find("pid_t")->kind(), btf::Kind::type_definition);
  EXPECT_EQ(types.find("long unsigned int")->size(), 8u);
  EXPECT_EQ(types.find("enum pid_type")->count(), 3u);
  EXPECT_FALSE(types.find("union task_struct"));
  EXPECT_EQ(types.find_enumerator("PIDTYPE_MAX"), 4);
  EXPECT_EQ(types.enumerator("MASK_ALL"), -1);
  EXPECT_EQ(types.enumerator("NONE").error().message, "this kernel has no enumerator NONE");
  EXPECT_EQ(declaration(*types.find_function("do_exit"), "do_exit"), "void do_exit(long int code)");
  EXPECT_EQ(type_name(*types.find_variable("runqueues")), "struct list_head");
  EXPECT_FALSE(types.find_variable("do_exit"));
}

TEST_F(TypePathTest, NoTypesAtAll) {
  const TypeCatalogue none;
  EXPECT_TRUE(none.empty());
  EXPECT_FALSE(none.find("task_struct"));
  EXPECT_EQ(none.type("task_struct").error().message, "this kernel's types are not known");
  EXPECT_EQ(MemberPath::compile(none, "task_struct.pid").error().code, Errc::not_found);
}

TEST_F(TypePathTest, ModulesComeAfterVmlinux) {
  auto one = test::BtfBuilder::upon(kernel_.builder);
  auto two = test::BtfBuilder::upon(kernel_.builder);
  one.structure("nf_conn", 8, {{"status", 2, 0}});
  two.structure("nf_conn", 16, {{"status", 2, 64}});
  two.structure("task_struct", 1, {});
  ASSERT_TRUE(kernel_.types.add_module("nf_conntrack", one.build()));
  ASSERT_TRUE(kernel_.types.add_module("evil", two.build()));
  EXPECT_TRUE(kernel_.types.has_module("evil"));
  EXPECT_EQ(kernel_.types.size_of("nf_conn"), 8u);
  EXPECT_EQ(kernel_.types.size_of("evil:nf_conn"), 16u);
  EXPECT_EQ(kernel_.types.size_of("evil: struct nf_conn"), 16u);
  EXPECT_EQ(kernel_.types.size_of("task_struct"), 256u) << "a module does not replace vmlinux's";
  EXPECT_EQ(MemberPath::compile(kernel_.types, "evil:nf_conn.status")->route().offset, 8u);
  EXPECT_EQ(kernel_.types.size_of("vmlinux:task_struct"), 256u);
  EXPECT_FALSE(kernel_.types.find("vmlinux:nf_conn"));
  EXPECT_EQ(TypeCatalogue().add_module("x", {}).error().code, Errc::invalid);
}

TEST(EditDistance, CountsEdits) {
  EXPECT_EQ(edit_distance("pid", "pid", 3), 0u);
  EXPECT_EQ(edit_distance("pidd", "pid", 3), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 5), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3u) << "beyond the limit: limit + 1";
  EXPECT_EQ(edit_distance("", "abc", 3), 3u);
}

}  // namespace
}  // namespace vitrine::linux
