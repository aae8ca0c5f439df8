#include <array>

#include "linux/kernel.h"
#include "linux/stack/thread_stacks.h"
#include "linux/stack/user_stack.h"
#include "linux/views/all_views.h"

namespace vitrine::linux {
namespace {

enum ColumnIndex : std::size_t {
  kPid,
  kTid,
  kName,
  kCpu,
  kFrame,
  kAddress,
  kSymbol,
  kFile,
  kOffset,
  kSource,
  kColumnCount
};

constexpr std::array<Column, kColumnCount> kColumns{{
    {"pid", ColumnType::integer, "pid of its process", Column::shown},
    {"tid", ColumnType::integer, "the thread", Column::shown},
    {"name", ColumnType::text, "its name (task_struct.comm)", Column::shown},
    {"cpu", ColumnType::integer, "CPU on which it runs now; missing: it does not run",
     Column::shown},
    {"frame", ColumnType::integer, "0 is the innermost", Column::shown},
    {"address", ColumnType::address,
     "where the function goes on: after a call, or, of the innermost, its next instruction",
     Column::shown},
    {"symbol", ColumnType::text,
     "the function, and how far into it, from the file's own table as the page cache holds it",
     Column::shown},
    {"file", ColumnType::text, "the program or library that is mapped there; [vdso]",
     Column::shown},
    {"offset", ColumnType::address, "the address in that file", Column::hidden},
    {"source", ColumnType::text,
     "how it was come by: registers; frame pointer, which code without them makes a guess",
     Column::hidden},
}};

constexpr ViewInfo kInfo{
    .name = "user_stacks",
    .summary = "the stacks of all threads in their programs, by frame pointers, frame by frame",
    .columns = kColumns,
    .order = "by pid, then tid, then frame",
    .key = "tid frame",
};

class Reader final : public ViewReader {
 public:
  Reader(ThreadStacks threads, UserStacks stacks)
      : threads_(std::move(threads)), stacks_(std::move(stacks)) {}

  Outcome<Tally> read(RowSink& rows) override {
    stacks_.forget();
    std::size_t torn = 0;
    auto tally = threads_.read(rows, [&](const ThreadStack& thread) {
      if (!thread.user) return true;
      const auto stack = stacks_.read(thread.task.address, *thread.user);
      if (!stack) {
        torn += stack.error().code == Errc::not_found ? 0 : 1;
        return true;
      }
      return show(rows, thread, *stack);
    });
    tally.dropped += torn;
    return tally;
  }

 private:
  static bool show(RowSink& rows, const ThreadStack& thread, const UserStack& stack) {
    std::int64_t number = 0;
    for (const auto& frame : stack.frames) {
      rows.begin();
      rows.set(kPid, std::int64_t{thread.task.tgid});
      rows.set(kTid, std::int64_t{thread.task.pid});
      rows.set(kName, thread.name);
      if (thread.cpu) rows.set(kCpu, std::int64_t{*thread.cpu});
      rows.set(kFrame, number++);
      rows.set(kAddress, frame.address.value);
      if (!frame.symbol.empty()) rows.set(kSymbol, frame.symbol);
      if (!frame.file.empty()) {
        rows.set(kFile, frame.file);
        rows.set(kOffset, frame.offset);
      }
      rows.set(kSource, std::string(frame.exact ? "registers" : "frame pointer"));
      if (!thread.doubt.empty()) rows.doubt(thread.doubt);
      if (!rows.end()) return false;
    }
    return true;
  }

  ThreadStacks threads_;
  UserStacks stacks_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  return std::make_unique<Reader>(TRY(ThreadStacks::open(kernel)), TRY(UserStacks::open(kernel)));
}

}  // namespace

const View user_stacks_view(kInfo, open);

}  // namespace vitrine::linux
