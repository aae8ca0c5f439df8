#include "linux/kernel_log.h"

#include <fmt/core.h>

#include "linux/kernel.h"
#include "linux/views/all_views.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kSequence,
  kTime,
  kSeverity,
  kLevel,
  kFacility,
  kCaller,
  kText,
  kDictionary,
  kContinued,
  kThread,
  kCpu,
  kThreadName
};

constexpr Column kColumns[] = {
    {"sequence", ColumnType::integer, "its number since boot; gaps are records that were lost",
     Column::hidden},
    {"time", ColumnType::duration,
     "when it was printed: about the time since boot (local_clock), nanoseconds"},
    {"severity", ColumnType::integer, "0 (emergency) to 7 (debug)", Column::hidden},
    {"level", ColumnType::text,
     "the severity's name: emerg, alert, crit, err, warn, notice, info, debug"},
    {"facility", ColumnType::text, "kern, or who wrote it through /dev/kmsg: user, daemon, ...",
     Column::hidden},
    {"caller", ColumnType::text,
     "T and a thread's pid, or C and a CPU's number if no thread printed it", Column::hidden},
    {"text", ColumnType::text, "the message; may have several lines"},
    {"dictionary", ColumnType::list, "SUBSYSTEM=... and DEVICE=... of messages about a device",
     Column::hidden},
    {"continued", ColumnType::boolean, "a later part of a line (LOG_CONT)", Column::hidden},
    {"thread", ColumnType::integer, "pid of the thread that ran, where the kernel noted it",
     Column::hidden},
    {"cpu", ColumnType::integer, "CPU that printed it, where the kernel noted it", Column::hidden},
    {"thread_name", ColumnType::text,
     "that thread's name; Linux 7.0 on, with CONFIG_PRINTK_EXECUTION_CTX", Column::hidden, true},
};

constexpr ViewInfo kInfo = {
    .name = "kernel_log",
    .summary = "the kernel's messages: what /dev/kmsg gives",
    .columns = kColumns,
    .order = "by sequence, oldest first",
    .key = "sequence",
};

constexpr std::uint32_t kIsCpu = 0x8000'0000;

class Reader final : public ViewReader {
 public:
  Reader(const Kernel& kernel, const LogLayout& layout, Gva pointer)
      : kernel_(kernel), layout_(layout), pointer_(pointer) {}

  Outcome<Tally> read(RowSink& rows) override {
    const Gva ring{TRY(kernel_.memory().load<std::uint64_t>(pointer_))};
    const auto reading =
        TRY(read_log(kernel_.memory(), layout_, ring, [&](const LogRecord& record) {
          rows.begin();
          fill(rows, record);
          if (*record.doubt != '\0') rows.doubt(record.doubt);
          return rows.end();
        }));
    Tally tally;
    tally.retries = reading.retries;
    tally.dropped = reading.lost + reading.unreadable;
    if (reading.unreadable_why) {
      tally.warnings.push_back(fmt::format("{} records cannot be read, the first: {}",
                                           reading.unreadable, describe(*reading.unreadable_why)));
    }
    tally.truncated = reading.truncated;
    return tally;
  }

  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    if (layout_.comm) return {};
    return {{{"thread_name"}, "printk_info.comm is not in this kernel"}};
  }

 private:
  static void fill(RowSink& rows, const LogRecord& record) {
    rows.set(kSequence, static_cast<std::int64_t>(record.sequence));
    rows.set(kTime, static_cast<std::int64_t>(record.time_ns));
    rows.set(kSeverity, std::int64_t{record.level});
    if (rows.wants(kLevel)) rows.set(kLevel, log_level_name(record.level));
    if (rows.wants(kFacility)) rows.set(kFacility, log_facility_name(record.facility));
    if (rows.wants(kCaller)) {
      rows.set(kCaller, fmt::format("{}{}", (record.caller & kIsCpu) != 0 ? 'C' : 'T',
                                    record.caller & ~kIsCpu));
    }
    if (rows.wants(kText)) rows.set(kText, record.text);
    if (rows.wants(kDictionary)) {
      std::vector<std::string> dictionary;
      if (!record.subsystem.empty()) dictionary.push_back("SUBSYSTEM=" + record.subsystem);
      if (!record.device.empty()) dictionary.push_back("DEVICE=" + record.device);
      rows.set(kDictionary, std::move(dictionary));
    }
    rows.set(kContinued, record.continued);
    const auto note = [&](std::uint32_t id) {
      rows.set((id & kIsCpu) != 0 ? kCpu : kThread, std::int64_t{id & ~kIsCpu});
    };
    note(record.caller);
    if (record.caller2) note(*record.caller2);
    if (record.comm) rows.set(kThreadName, *record.comm);
  }

  const Kernel& kernel_;
  LogLayout layout_;
  Gva pointer_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  const auto pointer = TRY(kernel.symbol("prb"));  // 5.10 on; older kernels have another buffer
  const auto layout = TRY(LogLayout::of(kernel));
  return std::make_unique<Reader>(kernel, layout, pointer);
}

}  // namespace

const View kernel_log_view(kInfo, open);

}  // namespace vitrine::linux
