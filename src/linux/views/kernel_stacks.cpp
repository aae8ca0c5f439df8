#include <array>

#include "linux/kernel.h"
#include "linux/stack/frame_names.h"
#include "linux/stack/thread_stacks.h"
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
  kModule,
  kStack,
  kSource,
  kReliable,
  kSp,
  kTask,
  kColumnCount
};

constexpr std::array<Column, kColumnCount> kColumns{{
    {"pid", ColumnType::integer, "pid of its process; 0: an idle task", Column::shown},
    {"tid", ColumnType::integer, "the thread", Column::shown},
    {"name", ColumnType::text, "its name (task_struct.comm)", Column::shown},
    {"cpu", ColumnType::integer, "CPU on which it runs now; missing: it does not run",
     Column::shown},
    {"frame", ColumnType::integer, "0 is the innermost", Column::shown},
    {"address", ColumnType::address,
     "where the function goes on: after a call, or at the instruction that was interrupted",
     Column::shown},
    {"symbol", ColumnType::text, "the function, and how far into it", Column::shown},
    {"module", ColumnType::text, "whose code it is; empty for the kernel's own", Column::shown},
    {"stack", ColumnType::text,
     "on which stack: task, irq, df, nmi, db, mce, vc, vc2, entry; none: on none that is known",
     Column::hidden},
    {"source", ColumnType::text,
     "how it was come by: registers (of the CPU), switched (where it gave the CPU up), call, "
     "interrupted, guess (by a frame pointer that may be none), hooked (a tracer took the return "
     "address; this is what stood there)",
     Column::hidden},
    {"reliable", ColumnType::boolean, "no guess was needed up to here", Column::hidden},
    {"sp", ColumnType::address, "the stack pointer in this frame", Column::hidden},
    {"task", ColumnType::address, "its task_struct", Column::hidden},
}};

constexpr ViewInfo kInfo{
    .name = "kernel_stacks",
    .summary = "the stacks of all threads in the kernel, frame by frame",
    .columns = kColumns,
    .order = "by pid, then tid, then frame; the CPUs' idle tasks first",
    .key = "tid cpu frame",
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, ThreadStacks stacks) : kernel_(kernel), stacks_(std::move(stacks)) {}

  Outcome<Tally> read(RowSink& rows) override {
    return stacks_.read(rows, [&](const ThreadStack& thread) { return show(rows, thread); });
  }

 private:
  bool show(RowSink& rows, const ThreadStack& thread) {
    const auto& stack = thread.stack;
    std::int64_t number = 0;
    for (const auto& frame : stack.frames) {
      begin(rows, thread);
      rows.set(kFrame, number++);
      rows.set(kAddress, frame.address.value);
      if (rows.wants_any(kSymbol, kModule)) {
        auto name = name_frame(kernel_, frame.address, frame.exact);
        if (!name.symbol.empty()) rows.set(kSymbol, std::move(name.symbol));
        rows.set(kModule, std::move(name.module));
      }
      rows.set(kStack, std::string(name(frame.stack)));
      rows.set(kSource, std::string(name(frame.source)));
      rows.set(kReliable, frame.reliable);
      rows.set(kSp, frame.sp.value);
      const bool last = &frame == &stack.frames.back();
      if (last && !stack.broken.empty()) rows.doubt(stack.broken);
      if (!rows.end()) return false;
    }
    if (!stack.frames.empty() || stack.user) return true;
    const auto why = thread.doubt.empty() ? stack.broken : thread.doubt;
    if (why.empty()) return true;  // a zombie
    begin(rows, thread);
    rows.doubt(why);
    return rows.end();
  }

  static void begin(RowSink& rows, const ThreadStack& thread) {
    rows.begin();
    rows.set(kPid, std::int64_t{thread.task.tgid});
    rows.set(kTid, std::int64_t{thread.task.pid});
    rows.set(kName, thread.name);
    if (thread.cpu) rows.set(kCpu, std::int64_t{*thread.cpu});
    rows.set(kTask, thread.task.address.value);
    if (!thread.doubt.empty()) rows.doubt(thread.doubt);
  }

  const Kernel& kernel_;
  ThreadStacks stacks_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  return std::make_unique<Reader>(kernel, TRY(ThreadStacks::open(kernel)));
}

}  // namespace

const View kernel_stacks_view(kInfo, open);

}  // namespace vitrine::linux
