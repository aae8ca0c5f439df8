#include "linux/kernel.h"

#include <fmt/core.h>

#include <array>
#include <bit>

#include "base/bytes.h"
#include "linux/field.h"
#include "linux/modules.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/views/kernel_clock.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kRelease,
  kVersion,
  kMachine,
  kHostname,
  kDomainname,
  kBanner,
  kCommandLine,
  kTainted,
  kTaints,
  kUptime,
  kBootTime,
  kCpusOnline,
  kCpusPossible,
  kMemory,
  kMemoryFree,
  kBuildId,
  kText,
  kTextPhysical,
  kSlide,
  kKpti,
  kPagingLevels,
  kClocksource,
  kJiffies
};

constexpr Column kColumns[] = {
    {"release", ColumnType::text, "as uname -r"},
    {"version", ColumnType::text, "as uname -v: build number, options, date", Column::hidden},
    {"machine", ColumnType::text, "as uname -m", Column::hidden},
    {"hostname", ColumnType::text, "of the initial UTS namespace"},
    {"domainname", ColumnType::text, "of the initial UTS namespace", Column::hidden},
    {"banner", ColumnType::text, "what it said first when it booted (linux_banner)",
     Column::hidden},
    {"command_line", ColumnType::text, "as /proc/cmdline (saved_command_line)"},
    {"tainted", ColumnType::mask, "as /proc/sys/kernel/tainted", Column::hidden},
    {"taints", ColumnType::text,
     "the same in letters: P proprietary module, O out of tree, E unsigned, W warned, D died ..."},
    {"uptime", ColumnType::duration,
     "since boot, sleep included, as of the last tick: idle CPUs with NO_HZ may let it lag for "
     "seconds"},
    {"boot_time", ColumnType::time, "when it booted, by its own clock: /proc/stat's btime"},
    {"cpus_online", ColumnType::integer, "CPUs that run"},
    {"cpus_possible", ColumnType::integer, "CPUs that there may ever be", Column::hidden},
    {"memory", ColumnType::size, "bytes: MemTotal of /proc/meminfo"},
    {"memory_free", ColumnType::size, "bytes: MemFree of /proc/meminfo", Column::hidden},
    {"build_id", ColumnType::text, "of its ELF note, lower-case hexadecimal", Column::hidden},
    {"text", ColumnType::address, "where _text runs", Column::hidden},
    {"text_physical", ColumnType::address, "where _text lies in RAM", Column::hidden},
    {"slide", ColumnType::mask, "KASLR: how far it runs from where it was linked", Column::hidden},
    {"kpti", ColumnType::boolean, "page tables of its own for user mode (page table isolation)",
     Column::hidden},
    {"paging_levels", ColumnType::integer, "4 or 5", Column::hidden},
    {"clocksource", ColumnType::text, "what it tells time by: tsc, kvm-clock, hpet",
     Column::hidden},
    {"jiffies", ColumnType::integer,
     "ticks; they start five minutes before a 32-bit counter overflows", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "kernel",
    .summary = "the kernel itself: who it is, how it was started, and since when it runs",
    .columns = kColumns,
    .order = "one row",
    .key = "release",
};

constexpr std::size_t kCommandLineLimit = 32 * 1024;
constexpr std::size_t kNameSize = 65;  // __NEW_UTS_LEN + 1; struct new_utsname is ABI

class Reader final : public ViewReader {
 public:
  explicit Reader(const Kernel& kernel) : kernel_(kernel), memory_(kernel.memory()) {
    const auto& types = kernel.types();
    if (auto clock = KernelClock::open(kernel)) {
      clock_ = *clock;
    } else {
      clock_problem_ = clock.error().message;
    }
    if (auto name = Field<std::string>::from(types, "clocksource.name")) clocksource_name_ = *name;
    free_pages_ = types.find_enumerator("NR_FREE_PAGES");
  }

  Outcome<Tally> read(RowSink& rows) override {
    Tally tally;
    rows.begin();
    const Identity& identity = kernel_.identity();
    rows.set(kRelease, identity.release);
    rows.set(kBanner, identity.banner);
    if (!identity.build_id.empty()) rows.set(kBuildId, identity.build_id);
    rows.set(kText, identity.text.value);
    rows.set(kTextPhysical, identity.text_physical.value);
    rows.set(kSlide, static_cast<std::uint64_t>(identity.slide));
    rows.set(kKpti, identity.page_table_isolation);
    rows.set(kPagingLevels, std::int64_t{identity.levels});
    set_names(rows);
    if (rows.wants(kCommandLine)) set_command_line(rows);
    if (const auto mask = at<std::uint64_t>("tainted_mask")) {
      rows.set(kTainted, *mask);
      rows.set(kTaints, taint_letters(*mask));
    }
    if (clock_ && rows.wants_any(kUptime, kBootTime)) set_time(rows, tally);
    if (const auto count = cpus_in("__cpu_online_mask")) rows.set(kCpusOnline, *count);
    if (const auto count = cpus_in("__cpu_possible_mask")) rows.set(kCpusPossible, *count);
    const auto pages = [&](std::size_t column, std::string_view symbol, std::uint64_t index) {
      const auto start = kernel_.symbols().find(symbol);
      if (!start || !rows.wants(column)) return;
      const auto count = memory_.load<std::int64_t>(*start + index * 8);
      if (count && *count >= 0 && *count < std::int64_t{1} << 40)
        rows.set(column, *count * static_cast<std::int64_t>(kPageSize));
    };
    pages(kMemory, "_totalram_pages", 0);
    if (free_pages_ && *free_pages_ >= 0 && *free_pages_ < 64) {
      pages(kMemoryFree, "vm_zone_stat", static_cast<std::uint64_t>(*free_pages_));
    }
    if (clocksource_name_.bound()) {
      if (const auto source = at<std::uint64_t>("curr_clocksource")) {
        if (auto text = clocksource_name_.read(memory_, Gva{*source}))
          rows.set(kClocksource, *std::move(text));
      }
    }
    if (const auto ticks = at<std::int64_t>("jiffies_64")) rows.set(kJiffies, *ticks);
    (void)rows.end();
    return tally;
  }

  [[nodiscard]] std::vector<MissingColumns> missing_columns() const override {
    std::vector<MissingColumns> missing;
    const auto needs = [&](std::string_view symbol, std::vector<std::string_view> columns) {
      if (!kernel_.symbols().find(symbol))
        missing.push_back(
            {std::move(columns), fmt::format("this kernel has no symbol {}", symbol)});
    };
    needs("init_uts_ns", {"version", "machine", "hostname", "domainname"});
    needs("saved_command_line", {"command_line"});
    needs("tainted_mask", {"tainted", "taints"});
    if (!clock_) missing.push_back({{"uptime", "boot_time"}, clock_problem_});
    if (!kernel_.one_cpu()) {
      needs("__cpu_online_mask", {"cpus_online"});
      needs("__cpu_possible_mask", {"cpus_possible"});
    }
    needs("_totalram_pages", {"memory"});
    if (free_pages_)
      needs("vm_zone_stat", {"memory_free"});
    else
      missing.push_back({{"memory_free"}, "NR_FREE_PAGES is not in this kernel"});
    if (kernel_.identity().build_id.empty())
      missing.push_back({{"build_id"},
                         kernel_.symbols().find("__start_notes")
                             ? "the kernel carries none"
                             : "this kernel has no symbol __start_notes"});
    if (clocksource_name_.bound())
      needs("curr_clocksource", {"clocksource"});
    else
      missing.push_back({{"clocksource"}, "clocksource.name is not in this kernel"});
    needs("jiffies_64", {"jiffies"});
    return missing;
  }

 private:
  template <class T>
  [[nodiscard]] std::optional<T> at(std::string_view symbol) const {
    const auto address = kernel_.symbols().find(symbol);
    if (!address) return std::nullopt;
    const auto value = memory_.load<T>(*address);
    if (!value) return std::nullopt;
    return *value;
  }

  // Without types: before struct new_utsname there may be a reference count (until 5.10); its
  // first member tells where it starts.
  void set_names(RowSink& rows) const {
    auto start = kernel_.symbols().find("init_uts_ns");
    if (!start) return;
    if (const auto names = Embedded::from(kernel_.types(), "uts_namespace.name"))
      start = names->in(*start);
    std::array<std::byte, 64 + 6 * kNameSize> bytes;
    if (!memory_.read(*start, bytes)) return;
    for (std::uint64_t offset = 0; offset <= 64; offset += 4) {
      if (load_string(bytes, offset, kNameSize) != "Linux") continue;
      const auto name = [&](std::size_t column, std::uint64_t index) {
        const auto text = load_string(bytes, offset + index * kNameSize, kNameSize);
        if (text) rows.set(column, std::string(*text));
      };
      name(kHostname, 1);
      name(kVersion, 3);
      name(kMachine, 4);
      name(kDomainname, 5);
      return;
    }
  }

  void set_command_line(RowSink& rows) const {
    const auto pointer = at<std::uint64_t>("saved_command_line");
    if (!pointer) return;
    if (auto text = memory_.load_string(Gva{*pointer}, kCommandLineLimit))
      rows.set(kCommandLine, *std::move(text));
  }

  void set_time(RowSink& rows, Tally& tally) const {
    const auto moment = clock_->read(memory_);
    if (!moment) {
      tally.warnings.push_back("the kernel's clock: " + describe(moment.error()));
      return;
    }
    tally.retries += moment->retries;
    rows.set(kUptime, moment->since_boot_ns);
    rows.set(kBootTime, moment->boot_time_ns);
  }

  [[nodiscard]] std::optional<std::int64_t> cpus_in(std::string_view mask) const {
    const auto start = kernel_.symbols().find(mask);
    if (!start && kernel_.one_cpu()) return 1;
    if (!start) return std::nullopt;
    const std::uint64_t words = (kernel_.cpu_count() + 63) / 64;
    std::int64_t count = 0;
    for (std::uint64_t i = 0; i < words; ++i) {
      const auto word = memory_.load<std::uint64_t>(*start + i * 8);
      if (!word) return std::nullopt;
      count += std::popcount(*word);
    }
    return count;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  std::optional<KernelClock> clock_;
  std::string clock_problem_;
  Field<std::string> clocksource_name_;
  std::optional<std::int64_t> free_pages_;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  return std::make_unique<Reader>(kernel);
}

}  // namespace

const View kernel_view(kInfo, open);

}  // namespace vitrine::linux
