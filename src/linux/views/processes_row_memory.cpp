// A process's row: its memory: sizes, executable, arguments, environment.
#include <algorithm>

#include "linux/kernel.h"
#include "linux/tasks_row.h"
#include "linux/views/processes_row.h"
#include "linux/walk/walk.h"

namespace vitrine::linux::processes {

void ProcessRow::fill_memory(RowSink& rows) {
  if (const auto dumpable = f_.dumpable.find(memory_, task_)) {
    if (*dumpable) rows.set(kDumpable, std::int64_t{**dumpable});
  }
  if (!rows.wants_any(kRss, kVsize, kShared, kText, kData, kCmdline, kArgs, kEnv, kPath, kDeleted,
                      kHollow, kDumpable)) {
    return;
  }
  const auto mm = f_.mm.read(task_);
  // A kernel thread may borrow an mm (kthread_use_mm); it is not its own.
  if (!mm || !*mm || kernel_thread_) return;
  if (!is_kernel_pointer(*mm) || !mm_.load(memory_, *mm)) {
    rows.doubt("its mm_struct cannot be read");
    return;
  }
  if (rows.wants_any(kRss, kShared)) {
    if (const auto resident = mm_fields_.resident(mm_)) {
      rows.set(kRss, resident->total);
      rows.set(kShared, resident->shared);
    }
  }
  rows.set(kVsize, integer_value(mm_fields_.total(mm_)));
  rows.set(kText, integer_value(mm_fields_.text(mm_)));
  rows.set(kData, integer_value(mm_fields_.data(mm_)));
  if (const auto dumpable = mm_fields_.dumpable(mm_); dumpable && !f_.dumpable.exists()) {
    rows.set(kDumpable, *dumpable);
  }
  if (rows.wants_any(kPath, kDeleted)) fill_executable(rows);
  if (areas_ && rows.wants(kHollow)) fill_hollow(rows, *mm);
  if (rows.wants_any(kCmdline, kArgs, kEnv)) fill_strings(rows, *mm);
}

void ProcessRow::fill_executable(RowSink& rows) {
  const auto file = mm_fields_.executable(mm_);
  if (!file || !*file) return;
  const auto text = [&]() -> Result<PathText> {
    return paths_.text(TRY(paths_.point_at(f_.file_path.in(*file))));
  }();
  if (!text) {
    rows.doubt("the path of its executable cannot be read");
    return;
  }
  rows.set(kPath, text->text);
  rows.set(kDeleted, text->deleted);
}

/// Nothing is said of a process whose program is being loaded, or whose areas changed meanwhile.
void ProcessRow::fill_hollow(RowSink& rows, Gva mm) {
  constexpr std::uint64_t kExecuted = 4;  // VM_EXEC
  const auto program = mm_fields_.executable(mm_);
  const auto code = mm_fields_.code_start(mm_);
  if (!program || !*program || !code || *code == 0) return;
  const auto found = areas_->find(mm);
  if (found.broken || found.truncated || found.areas.empty()) return;
  const bool mapped = std::ranges::any_of(found.areas, [&](const maps::Area& area) {
    return (area.flags & kExecuted) != 0 && area.file && same_program(*program, area.file);
  });
  rows.set(kHollow, !mapped);
}

/// Union file systems map a file of theirs by the one beneath it: of another inode, but of its
/// name.
bool ProcessRow::same_program(Gva program, Gva mapped) const {
  if (program == mapped) return true;
  const auto ours = paths_.point_at(f_.file_path.in(program));
  const auto theirs = paths_.point_at(f_.file_path.in(mapped));
  if (!ours || !theirs) return true;  // not known to be another
  if (ours->dentry == theirs->dentry) return true;
  const auto name = paths_.name_of(ours->dentry), other = paths_.name_of(theirs->dentry);
  return !name || !other || *name == *other;
}

void ProcessRow::fill_strings(RowSink& rows, Gva mm) {
  const auto root = kernel_.user_root(mm);
  if (!root) {
    rows.doubt("its page tables cannot be found");
    return;
  }
  const x86::AddressSpace user(kernel_.read_ahead(), *root);
  if (rows.wants_any(kCmdline, kArgs)) {
    if (const auto line = mm_fields_.command_line(user, mm_)) {
      if (line->cut) rows.doubt("its arguments are not all in memory");
      auto args = split_strings(line->bytes);
      if (rows.wants(kCmdline)) {
        std::string joined = line->bytes;
        while (!joined.empty() && joined.back() == '\0') joined.pop_back();
        std::ranges::replace(joined, '\0', ' ');
        rows.set(kCmdline, std::move(joined));
      }
      rows.set(kArgs, std::move(args));
    }
  }
  if (rows.wants(kEnv)) {
    if (const auto environment = mm_fields_.environment(user, mm_)) {
      if (environment->cut) rows.doubt("its environment is not all in memory");
      rows.set(kEnv, split_strings(environment->bytes));
    }
  }
}

}  // namespace vitrine::linux::processes
