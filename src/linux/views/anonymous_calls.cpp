#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "linux/kernel.h"
#include "linux/kernel_code.h"
#include "linux/modules_offsets.h"
#include "linux/stack/saved_registers.h"
#include "linux/stack/stack_areas.h"
#include "linux/tasks.h"
#include "linux/tasks_row.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/views/maps_areas.h"
#include "x86/user_half.h"

namespace vitrine::linux {
namespace {

enum : std::size_t { kPid, kTid, kName, kCall, kAddress, kStart, kSize, kWritable, kBytes };

constexpr Column kColumns[] = {
    {"pid", ColumnType::integer, "of the process"},
    {"tid", ColumnType::integer, "of the thread"},
    {"name", ColumnType::text, "of the thread (task_struct.comm)"},
    {"call", ColumnType::integer, "number of its last system call (pt_regs.orig_ax)"},
    {"address", ColumnType::address, "behind the instruction that made it (pt_regs.ip)"},
    {"start", ColumnType::address, "of the memory area in which that lies"},
    {"size", ColumnType::size, "of that area"},
    {"writable", ColumnType::boolean, "the area can be written, too", Column::hidden},
    {"bytes", ColumnType::text, "32 bytes around the instruction, in hexadecimal", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "anonymous_calls",
    .summary = "threads whose last system call came from memory that no file backs",
    .columns = kColumns,
    .order = "by pid, then by tid",
    .key = "tid start",
};

constexpr std::uint64_t kExecuted = 4, kWritten = 2;  // VM_EXEC, VM_WRITE
constexpr std::size_t kAround = 32;

struct Fields {
  Field<Gva> mm;
  Field<std::string> comm;
  SavedLayout saved;

  static Outcome<Fields> open(const TypeCatalogue& types) {
    Fields f;
    FieldBinder bind(types);
    bind(f.mm, "task_struct.mm");
    bind(f.comm, "task_struct.comm");
    TRY(bind.done());
    f.saved = TRY(SavedLayout::open(types));
    return f;
  }
};

/// As they were saved when the thread entered the kernel the last time.
struct Entered {
  Gva ip;
  std::int64_t call = -1;
};

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, Fields fields, TaskList tasks, StackAreas stacks,
         maps::AreaFinder areas)
      : kernel_(kernel),
        memory_(kernel.memory()),
        f_(std::move(fields)),
        tasks_(std::move(tasks)),
        stacks_(std::move(stacks)),
        areas_(std::move(areas)) {}

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    const auto processes = tasks_.processes(rows);
    processes.note_in(tally);
    for (const auto& process : processes.tasks) {
      const auto mm = f_.mm.read(memory_, process.address);
      if (!mm || !*mm) continue;
      const auto found = areas_.find(*mm);
      // Most programs have none, and then their threads need no look.
      if (std::ranges::none_of(found.areas, is_anonymous_code)) continue;
      const auto threads = tasks_.threads_of(process);
      threads.note_in(tally);
      for (const auto& thread : threads.tasks)
        if (!judge(rows, thread, *mm, found.areas)) return tally;
    }
    return tally;
  }

 private:
  /// The vdso and its like are the kernel's, and have operations.
  static bool is_anonymous_code(const maps::Area& area) {
    return !area.file && !area.operations && (area.flags & kExecuted) != 0;
  }

  /// @returns false  no more rows are wanted
  bool judge(RowSink& rows, const TaskRef& thread, Gva mm, const std::vector<maps::Area>& areas) {
    const auto entered = entered_from(thread.address);
    if (!entered) return true;
    const auto area = std::ranges::find_if(areas, [&](const maps::Area& one) {
      return is_anonymous_code(one) && entered->ip > one.start && entered->ip <= one.end;
    });
    const auto root = area == areas.end() ? fail(Errc::not_found) : kernel_.user_root(mm);
    if (!root || entered->ip >= x86::user_end(*root)) return true;
    const x86::AddressSpace user(kernel_.read_ahead(), *root);
    std::array<std::byte, 2> instruction{};
    if (!user.read(entered->ip - 2, instruction) || !is_call(instruction)) return true;
    rows.begin();
    rows.set(kPid, std::int64_t{thread.tgid});
    rows.set(kTid, std::int64_t{thread.pid});
    rows.set(kName, text_value(f_.comm.read(memory_, thread.address)));
    rows.set(kCall, entered->call);
    rows.set(kAddress, entered->ip.value);
    rows.set(kStart, area->start.value);
    rows.set(kSize, static_cast<std::int64_t>(area->end - area->start));
    rows.set(kWritable, (area->flags & kWritten) != 0);
    if (rows.wants(kBytes)) {
      const Gva from = std::max(area->start, entered->ip - kAround / 2);
      rows.set(kBytes, hexadecimal_at(user, from, kAround));
    }
    return !tasks_.still(thread) || rows.end();
  }

  /// Nothing of a thread that entered by an interrupt or a fault: orig_ax is negative then.
  [[nodiscard]] std::optional<Entered> entered_from(Gva task) const {
    const auto stack = stacks_.of_task(task);
    if (!stack) return std::nullopt;
    const auto saved = saved_user_state(memory_, f_.saved, *stack);
    if (!saved) return std::nullopt;
    const auto call = memory_.load<std::int64_t>(saved->saved_at + f_.saved.call);
    if (!call || *call < 0 || saved->ip < 2) return std::nullopt;
    return Entered{Gva(saved->ip), *call};
  }

  /// syscall; int $0x80.
  static bool is_call(const std::array<std::byte, 2>& bytes) {
    const auto first = std::to_integer<unsigned>(bytes[0]),
               second = std::to_integer<unsigned>(bytes[1]);
    return (first == 0x0f && second == 0x05) || (first == 0xcd && second == 0x80);
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Fields f_;
  TaskList tasks_;
  StackAreas stacks_;
  maps::AreaFinder areas_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  auto tasks = TRY(TaskList::open(kernel));
  auto fields = TRY(Fields::open(kernel.types()));
  auto stacks = TRY(StackAreas::open(kernel));
  auto areas = TRY(maps::AreaFinder::open(kernel));
  return std::make_unique<Reader>(kernel, std::move(fields), std::move(tasks), std::move(stacks),
                                  std::move(areas));
}

}  // namespace

const View anonymous_calls_view(kInfo, open);

}  // namespace vitrine::linux
