// A small kernel's types, built by hand, for the tests of floor 5.
#pragma once

#include <gtest/gtest.h>

#include "linux/type_catalogue.h"
#include "support/btf_builder.h"

namespace vitrine::test {

struct SmallKernel {
  BtfBuilder builder;
  linux::TypeCatalogue types;

  SmallKernel() {
    auto& b = builder;
    const auto i32 = b.integer("int", 4, true);
    const auto u32 = b.integer("unsigned int", 4);
    const auto i64 = b.integer("long int", 8, true);
    const auto u64 = b.integer("long unsigned int", 8);
    const auto character = b.integer("char", 1, true);
    const auto boolean = b.boolean();
    const auto u8 = b.type_definition("u8", b.integer("unsigned char", 1));
    const auto pid_t = b.type_definition("pid_t", i32);
    const auto list_head = b.next();
    b.structure("list_head", 16, {{"next", list_head + 1, 0}, {"prev", list_head + 1, 64}});
    b.pointer(list_head);
    const auto atomic = b.type_definition("atomic_t", b.structure("", 4, {{"counter", i32, 0}}));
    const auto dentry = b.structure(
        "dentry", 32,
        {{"d_name", b.pointer(b.const_of(character)), 64}, {"d_iname", b.array(u8, 8), 128}});
    const auto path =
        b.structure("path", 16, {{"mnt", b.pointer(0), 0}, {"dentry", b.pointer(dentry), 64}});
    const auto file = b.structure("file", 64, {{"f_mode", u32, 32}, {"f_path", path, 128}});
    const auto mm = b.structure("mm_struct", 128,
                                {{"exe_file", b.pointer(file), 320},
                                 {"start_code", u64, 64},
                                 {"mm_users", atomic, 128},
                                 {"saved_auxv", b.array(u64, 4), 512}});
    const auto rlimit = b.structure("rlimit", 16, {{"rlim_cur", u64, 0}, {"rlim_max", u64, 64}});
    const auto signal = b.structure("signal_struct", 512, {{"rlim", b.array(rlimit, 16), 128}});
    const auto kind =
        b.enumeration("task_kind", {{"USER", 0}, {"KTHREAD", 2}, {"BROKEN", -3}}, true);
    const auto files = b.pointer(b.pointer(file));
    const auto fields = b.structure(
        "", 8,
        {{"exiting", u32, 0, 1}, {"level", i32, 1, 4}, {"rest", u32, 5, 27}, {"wide", u32, 32}});
    const auto task = b.forward("task_struct");
    const auto either = b.union_of("", 8, {{"whole", u64, 0}, {"half", u32, 0}});
    b.structure("task_struct", 256,
                {{"__state", u32, 0},
                 {"pid", pid_t, 32},
                 {"mm", b.pointer(mm), 64},
                 {"signal", b.pointer(signal), 128},
                 {"comm", b.array(character, 16), 192},
                 {"tasks", list_head, 320},
                 {"", fields, 448},
                 {"", either, 512},
                 {"kind", kind, 576},
                 {"on_cpu", boolean, 608},
                 {"exit_code", i64, 640},
                 {"fd", files, 704},
                 {"parent", b.pointer(task), 768},
                 {"caps", b.array(u32, 2), 832},
                 {"far", b.pointer(b.forward("mm_struct")), 896},
                 {"release", b.pointer(b.prototype(0, {{"task", b.pointer(task)}, {"", 0}})), 960},
                 {"nodes", b.array(list_head, 3), 1024},
                 {"tail", b.array(u32, 0), 2048}});
    b.enumeration("pid_type", {{"PIDTYPE_PID", 0}, {"PIDTYPE_TGID", 1}, {"PIDTYPE_MAX", 4}});
    b.enumeration64("masks", {{"MASK_ALL", -1}});
    b.function("do_exit", b.prototype(0, {{"code", i64}}));
    b.variable("runqueues", list_head);
    types = linux::TypeCatalogue(*btf::Btf::parse(b.build()));
  }
};

}  // namespace vitrine::test
