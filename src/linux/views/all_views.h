// All views there are: each is defined in the file of its name.
#pragma once

#include "linux/view.h"

namespace vitrine::linux {

/// System calls that were made from memory that no file backs.
extern const View anonymous_calls_view;
/// eBPF programs the kernel has loaded, and what they may do to others.
extern const View bpf_programs_view;
/// Code of the kernel that is not as the kernel says.
extern const View code_changes_view;
/// One row for each possible CPU.
extern const View cpus_view;
/// Who each process is, and how it came by it.
extern const View credentials_view;
/// One row for each open descriptor, as lsof and /proc/PID/fd show it.
extern const View files_view;
/// Modules that some place in the kernel knows and the list does not.
extern const View hidden_modules_view;
/// What the kernel calls because somebody asked it to.
extern const View hooks_view;
/// One row for each network interface of every network namespace.
extern const View interfaces_view;
/// One row for each vector of each interrupt descriptor table in use.
extern const View interrupts_view;
/// One row: which kernel runs, how, and since when.
extern const View kernel_view;
/// Executable memory of the kernel, and whose it is.
extern const View kernel_code_view;
/// One row for each record of the printk ring buffer.
extern const View kernel_log_view;
/// Every frame of every thread's stack in the kernel.
extern const View kernel_stacks_view;
/// One row for each memory area, line by line as /proc/PID/maps shows them.
extern const View maps_view;
/// One row for each module in the kernel's list.
extern const View modules_view;
/// One row for each mount of every mount namespace.
extern const View mounts_view;
/// Function pointers of operation tables that lead where none should.
extern const View operations_view;
/// Code that the dynamic loader is told to put before every library.
extern const View preloads_view;
/// One row for each thread group, as ps and /proc/PID show it.
extern const View processes_view;
/// Tasks, by every place that knows them.
extern const View scheduled_view;
/// One row for each socket of all network namespaces.
extern const View sockets_view;
/// What each process reads from and writes to.
extern const View standard_streams_view;
/// One row for each line of /proc/kallsyms.
extern const View symbols_view;
/// One row for each entry of the system call tables.
extern const View syscall_table_view;
/// Where each CPU enters the kernel for system calls.
extern const View system_call_entries_view;
/// Program text in memory that differs from its file.
extern const View text_changes_view;
/// One row for each task, as /proc/PID/task/TID shows it.
extern const View threads_view;
/// Every frame of every program's stack, by frame pointers.
extern const View user_stacks_view;

}  // namespace vitrine::linux
