#include "support/lab.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <random>

#include "support/btf_builder.h"

namespace vitrine::test {
namespace {

constexpr std::uint64_t kKernelMap = 0xffff'ffff'8000'0000;
constexpr std::uint64_t kIdt = 0xffff'fe00'0000'0000;  // cpu_entry_area
constexpr std::uint64_t kPresent = 1, kWritable = 2, kLarge = 1 << 7;

// Where things stand in the image, from _text.
constexpr std::uint64_t kHandlerOffset = 0x1000;
constexpr std::uint64_t kPlaceholderOffset = 0x20'0000;
constexpr std::uint64_t kBannerOffset = 0x20'0800;
constexpr std::uint64_t kNotesOffset = 0x20'1000;
constexpr std::uint64_t kBtfOffset = 0x20'2000;
constexpr std::uint64_t kTableOffset = 0x22'0000;  // init_top_pgt, two pages
constexpr std::uint64_t kVariablesOffset = 0x22'4000;
constexpr std::uint64_t kJiffiesOffset = 0x22'4ff0;
constexpr std::uint64_t kNamesOffset = 0x22'5000;  // init_uts_ns
constexpr std::uint64_t kFreeOffset = 0x27'0000;
constexpr std::uint64_t kEntryOffset = 0x1'2340;
constexpr std::uint64_t kTasksOffset = 0x23'0000;
constexpr std::uint64_t kKallsymsOffset = 0x28'0000;
constexpr std::uint64_t kImageSize = 6 * kMiB;

// The lab's task_struct.
constexpr std::uint64_t kTaskSize = 256, kTaskPid = 8, kTaskComm = 24, kTaskList = 64,
                        kTaskLeader = 160;

// The lab's mm_struct and, shuffled, its uts_namespace.
constexpr std::uint64_t kMmCounters = 96, kNamesInside = 200, kNameSize = 65;

// The lab's struct resource.
constexpr std::uint64_t kResourceSize = 64, kResourceEnd = 8, kResourceFlags = 24,
                        kResourceSibling = 48, kResourceChild = 56;

/// What init/version.c has until the build is numbered.
constexpr std::string_view kPlaceholder = "Linux version 6.9.0-lab (lab@lab) (gcc) # SMP\n";
constexpr std::string_view kBanner = "Linux version 6.9.0-lab (lab@lab) (gcc) #1 SMP\n";

/// vmlinux's BTF, as far as the lab's kernel goes.
std::vector<std::byte> build_btf(bool smp) {
  BtfBuilder btf;
  const auto number = btf.integer("int", 4, true);
  const auto wide = btf.integer("long unsigned int", 8);
  const auto character = btf.integer("char", 1, true);
  const auto name = btf.array(character, 16, number);
  const auto list_id = btf.next();
  const auto link = list_id + 1;
  (void)btf.structure("list_head", 16, {{"next", link, 0}, {"prev", link, 64}});
  (void)btf.pointer(list_id);
  const auto natural = btf.integer("unsigned int", 4);
  const auto signal = btf.structure("signal_struct", 16, {{"thread_head", list_id, 0}});
  const auto signal_pointer = btf.pointer(signal);
  const auto entity = btf.structure("sched_entity", 8, {{"sum_exec_runtime", wide, 0}});
  const auto times = btf.structure("prev_cputime", 16, {{"utime", wide, 0}, {"stime", wide, 64}});
  const auto mask = btf.structure("cpumask", 8, {{"bits", wide, 0}});
  const auto info = smp ? btf.structure("thread_info", 8, {{"cpu", natural, 0}})
                        : btf.structure("thread_info", 8, {{"flags", wide, 0}});
  (void)btf.structure("task_struct", kTaskSize,
                      {{"__state", wide, 0},
                       {"pid", number, kTaskPid * 8},
                       {"tgid", number, kTaskPid * 8 + 32},
                       {"comm", name, kTaskComm * 8},
                       {"tasks", list_id, kTaskList * 8},
                       {"exit_state", number, 80 * 8},
                       {"flags", natural, 84 * 8},
                       {"prio", number, 88 * 8},
                       {"static_prio", number, 92 * 8},
                       {"rt_priority", natural, 96 * 8},
                       {"policy", natural, 100 * 8},
                       {"start_boottime", wide, 104 * 8},
                       {"utime", wide, 112 * 8},
                       {"stime", wide, 120 * 8},
                       {"nvcsw", wide, 128 * 8},
                       {"nivcsw", wide, 136 * 8},
                       {"cpus_mask", mask, 144 * 8},
                       {"signal", signal_pointer, 152 * 8},
                       {"group_leader", signal_pointer, kTaskLeader * 8},
                       {"thread_node", list_id, 168 * 8},
                       {"se", entity, 184 * 8},
                       {"prev_cputime", times, 192 * 8},
                       {"thread_info", info, 208 * 8}});
  const auto pgd = btf.structure("pgd_t", 8, {{"pgd", wide, 0}});
  const auto pgd_pointer = btf.pointer(pgd);
  const auto counter =
      smp ? btf.structure("percpu_counter", 16, {{"count", wide, 0}, {"counters", pgd_pointer, 64}})
          : btf.structure("percpu_counter", 8, {{"count", wide, 0}});
  (void)btf.structure("mm_struct", 192,
                      {{"pgd", pgd_pointer, 0},
                       {"total_vm", wide, 8 * 8},
                       {"data_vm", wide, 16 * 8},
                       {"stack_vm", wide, 24 * 8},
                       {"start_code", wide, 32 * 8},
                       {"end_code", wide, 40 * 8},
                       {"arg_start", wide, 48 * 8},
                       {"arg_end", wide, 56 * 8},
                       {"env_start", wide, 64 * 8},
                       {"env_end", wide, 72 * 8},
                       {"exe_file", pgd_pointer, 80 * 8},
                       {"flags", wide, 88 * 8},
                       {"rss_stat", btf.array(counter, 4, number), kMmCounters * 8}});
  const auto names = btf.structure("new_utsname", 6 * kNameSize, {{"sysname", name, 0}});
  (void)btf.structure("uts_namespace", 1024, {{"name", names, kNamesInside * 8}});
  const auto resource = btf.next() + 1;
  (void)btf.pointer(resource);
  (void)btf.structure("resource", kResourceSize,
                      {{"start", wide, 0},
                       {"end", wide, 64},
                       {"flags", wide, 192},
                       {"sibling", resource - 1, 384},
                       {"child", resource - 1, 448}});
  return btf.build();
}

}  // namespace

LabMemory::LabMemory(std::vector<GpaRange> ranges) : ranges_(std::move(ranges)) {
  for (const auto& range : ranges_) contents_.emplace_back(range.size);
}

Result<void> LabMemory::read(Gpa from, MutableBytes into) const {
  ++reads_;
  if (fail_first_ != 0 && reads_ >= fail_first_ && reads_ - fail_first_ < fail_count_) {
    return fail(Errc::io, from.value, "on purpose");
  }
  while (!into.empty()) {
    const auto range =
        std::ranges::find_if(ranges_, [&](const auto& one) { return one.contains(from); });
    if (range == ranges_.end()) return fail(Errc::outside_ram, from.value);
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), range->end() - from));
    const auto& content = contents_[static_cast<std::size_t>(range - ranges_.begin())];
    std::memcpy(into.data(), content.data() + (from - range->start), size);
    into = into.subspan(size);
    from += size;
  }
  return {};
}

MutableBytes LabMemory::bytes(Gpa from, std::uint64_t size) {
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    if (ranges_[i].contains(from) && ranges_[i].end() - from >= size) {
      return MutableBytes(contents_[i]).subspan(from - ranges_[i].start, size);
    }
  }
  assert(false && "the lab builds outside its RAM");
  return {};
}

void LabMemory::fail_reads(std::uint64_t first, std::uint64_t count) {
  reads_ = 0;
  fail_first_ = first;
  fail_count_ = count;
}

Lab::Lab(const LabOptions& options)
    : memory_({{Gpa{0}, 640 * kKiB}, {Gpa{kMiB}, 47 * kMiB}, {Gpa{4 * kGiB}, 2 * kMiB}}),
      levels_(options.levels),
      has_registers_(options.registers),
      map_source_(options.map_source) {
  lay_out(options);
  build_tasks(options);
  build_page_tables(options);
  build_image(options);
}

Gva Lab::symbol(std::string_view name) const {
  const auto found = std::ranges::find(symbols_, name, &BuiltSymbol::name);
  return found == symbols_.end() ? Gva{} : Gva{found->address};
}

std::uint64_t Lab::btf_offset() { return kBtfOffset; }
std::uint64_t Lab::kallsyms_offset() { return kKallsymsOffset; }
std::uint64_t Lab::free_offset() { return kFreeOffset; }
std::uint64_t Lab::counters_offset() { return kMmCounters; }

void Lab::lay_out(const LabOptions& options) {
  std::mt19937_64 random(options.seed);
  text_physical_ = Gpa{(8 + random() % 12 * 2) * kMiB};  // 8 to 30 MiB, 2 MiB apart
  text_ = Gva{kKernelMap + (16 + random() % 400 * 2) * kMiB};
  direct_map_ = Gva{(options.levels == 5 ? 0xff11'0000'0000'0000 : 0xffff'8880'0000'0000) +
                    random() % 8 * kGiB};
  image_size_ = kImageSize;
  next_table_ = Gpa{options.tables};
  idt_ = Gpa{2 * kMiB};
}

Gpa Lab::new_table() {
  const Gpa table = next_table_;
  next_table_ += kPageSize;
  return table;
}

/// Maps one page: 2 MiB if `flags` say so, else 4 KiB.
void Lab::map(Gpa root, unsigned levels, Gva address, Gpa to, std::uint64_t flags) {
  Gpa table = root;
  const unsigned last = (flags & kLarge) != 0 ? 2 : 1;
  for (unsigned level = levels; level > last; --level) {
    const Gpa at = table + (address.value >> (12 + 9 * (level - 1)) & 511) * 8;
    auto entry = *memory_.load<std::uint64_t>(at);
    if ((entry & kPresent) == 0) {
      entry = new_table().value | kPresent | kWritable;
      memory_.put(at, entry);
    }
    table = Gpa{entry & 0x000f'ffff'ffff'f000};
  }
  const Gpa at = table + (address.value >> (12 + 9 * (last - 1)) & 511) * 8;
  memory_.put(at, to.value | flags | kPresent);
}

void Lab::build_page_tables(const LabOptions& options) {
  const Gpa root = text_physical_ + kTableOffset;
  for (std::uint64_t at = 0; at < image_size_; at += 2 * kMiB) {
    map(root, levels_, text_ + at, text_physical_ + at, kLarge | kWritable);
  }
  for (std::uint64_t at = 0; at < 48 * kMiB; at += 2 * kMiB) {
    map(root, levels_, direct_map_ + at, Gpa{at}, kLarge | kWritable);
  }
  map(root, levels_, Gva{kIdt}, idt_, 0);
  cr3_ = root.value;
  if (options.user_half) {
    const Gpa user = root + kPageSize;
    map(user, levels_, Gva{kIdt}, idt_, 0);
    map(user, levels_, text_ + kHandlerOffset, text_physical_ + kHandlerOffset, 0);
    cr3_ = user.value | 0x801;  // with a PCID
  }
  for (std::uint64_t vector = 0; vector < 256; ++vector) {
    const std::uint64_t handler = (text_ + kHandlerOffset + vector * 16).value;
    const Gpa gate = idt_ + vector * 16;
    memory_.put(gate, static_cast<std::uint16_t>(handler));
    memory_.put(gate + 2, std::uint16_t{0x10});
    memory_.put(gate + 4, std::uint16_t{0x8e00});
    memory_.put(gate + 6, static_cast<std::uint16_t>(handler >> 16));
    memory_.put(gate + 8, static_cast<std::uint32_t>(handler >> 32));
  }
}

void Lab::build_tasks(const LabOptions& options) {
  for (std::size_t i = 0; i < options.tasks + 1; ++i) {
    const auto pid = static_cast<std::int32_t>(i);
    tasks_.push_back({pid, i == 0 ? "swapper/0" : "task-" + std::to_string(pid),
                      text_ + kTasksOffset + i * kTaskSize});
  }
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const Gpa at = physical(tasks_[i].address);
    const LabTask& next = tasks_[(i + 1) % tasks_.size()];
    const LabTask& previous = tasks_[(i + tasks_.size() - 1) % tasks_.size()];
    memory_.put(at + kTaskPid, tasks_[i].pid);
    memory_.put(at + kTaskPid + 4, tasks_[i].pid);
    memory_.put(at + kTaskLeader, tasks_[i].address.value);
    std::memcpy(memory_.bytes(at + kTaskComm, 16).data(), tasks_[i].name.data(),
                tasks_[i].name.size());
    memory_.put(at + kTaskList, (next.address + kTaskList).value);
    memory_.put(at + kTaskList + 8, (previous.address + kTaskList).value);
  }
}

void Lab::build_image(const LabOptions& options) {
  const auto put_bytes = [&](std::uint64_t offset, Bytes bytes) {
    std::memcpy(memory_.bytes(text_physical_ + offset, bytes.size()).data(), bytes.data(),
                bytes.size());
  };
  std::mt19937_64 code(options.code);
  for (std::uint64_t at = kHandlerOffset; at < kPlaceholderOffset; at += 8)
    memory_.put(text_physical_ + at, code());
  put_bytes(kPlaceholderOffset, bytes_of(kPlaceholder));
  put_bytes(kBannerOffset, bytes_of(kBanner));
  put_bytes(kNamesOffset + kNamesInside, bytes_of("Linux"));
  put_bytes(kNamesOffset + kNamesInside + kNameSize, bytes_of("lab-host"));
  std::array<std::uint32_t, 9> note{4, 20, 3, 0x00554e47, 1, 2, 3, 4, 5};
  put_bytes(kNotesOffset, std::as_bytes(std::span(note)));

  // Variables: per-CPU offsets, the CPU's current task, counts.
  const std::uint64_t offsets = kVariablesOffset, current = offsets + 64, cpus = current + 8,
                      frames = cpus + 8;
  const std::uint64_t map_base = frames + 8;
  memory_.put(text_physical_ + current, tasks_.back().address.value);
  memory_.put(text_physical_ + cpus, std::uint32_t{1});
  memory_.put(text_physical_ + frames, (4 * kGiB + 2 * kMiB + options.unplugged) / kPageSize);
  memory_.put(text_physical_ + map_base, direct_map_.value);

  // struct e820_table: a count, then packed entries of address, size, type.
  const std::uint64_t e820 = kVariablesOffset + 0x800, e820_pointer = map_base + 8;
  const std::array<GpaRange, 3> told{
      {{Gpa{0}, 640 * kKiB}, {Gpa{kMiB}, 47 * kMiB}, {Gpa{4 * kGiB}, options.e820_end - 4 * kGiB}}};
  memory_.put(text_physical_ + e820, std::uint32_t{3});
  for (std::size_t i = 0; i < told.size(); ++i) {
    const Gpa entry = text_physical_ + e820 + 4 + i * 20;
    memory_.put(entry, told[i].start.value);
    memory_.put(entry + 8, told[i].size);
    memory_.put(entry + 16, std::uint32_t{1});
  }
  memory_.put(text_physical_ + e820_pointer, (text_ + e820).value);

  // iomem_resource: RAM, and between it a device's region that holds RAM, too.
  const std::uint64_t resources = kVariablesOffset + 0xa00;
  const auto put_resource = [&](std::uint64_t number, GpaRange range, std::uint64_t flags,
                                std::uint64_t sibling, std::uint64_t child) {
    const Gpa at = text_physical_ + resources + number * kResourceSize;
    const auto pointer = [&](std::uint64_t to) {
      return to == 0 ? 0 : (text_ + resources + to * kResourceSize).value;
    };
    memory_.put(at, range.start.value);
    memory_.put(at + kResourceEnd, range.end().value - 1);
    memory_.put(at + kResourceFlags, flags);
    memory_.put(at + kResourceSibling, pointer(sibling));
    memory_.put(at + kResourceChild, pointer(child));
  };
  if (options.resources_end != 0) {
    constexpr std::uint64_t kDevice = 0x200, kRam = 0x8100'0200;
    put_resource(0, {Gpa{0}, 1ULL << 52}, kDevice, 0, 1);
    put_resource(1, {Gpa{kPageSize}, 636 * kKiB}, kRam, 2, 0);
    put_resource(2, {Gpa{kMiB}, 8 * kMiB}, kDevice, 3, 4);
    put_resource(3, {Gpa{9 * kMiB}, 39 * kMiB}, kRam, 5, 0);
    put_resource(4, {Gpa{2 * kMiB}, kMiB}, kRam, 0, 0);
    put_resource(5, {Gpa{4 * kGiB}, options.resources_end - 4 * kGiB}, kRam, 0, 0);
  }

  symbols_ = make_symbols(options.symbols, text_.value);
  const auto add = [&](std::uint64_t offset, char type, const char* symbol) {
    symbols_.push_back({(text_ + offset).value, type, symbol});
  };
  add(kBannerOffset, 'D', "linux_banner");
  add(kNamesOffset, 'D', "init_uts_ns");
  add(kNotesOffset, 'r', "__start_notes");
  add(kNotesOffset + sizeof note, 'r', "__stop_notes");
  if (options.btf) {
    const auto btf = build_btf(options.smp);
    put_bytes(kBtfOffset, btf);
    add(kBtfOffset, 'r', "__start_BTF");
    add(kBtfOffset + btf.size(), 'r', "__stop_BTF");
  }
  add(kTableOffset, 'D', "init_top_pgt");
  if (options.smp) {
    add(offsets, 'D', "__per_cpu_offset");
    add(cpus, 'D', "nr_cpu_ids");
  }
  add(current, 'D', "current_task");
  add(frames, 'B', "max_pfn");
  add(resources, 'D', "iomem_resource");
  add(map_base, 'D', "page_offset_base");
  add(e820_pointer, 'D', "e820_table_firmware");
  add(kTasksOffset, 'D', "init_task");
  add(kEntryOffset, 'T', "entry_SYSCALL_64");
  add(kJiffiesOffset, 'D', "jiffies");
  if (!options.data_symbols)
    std::erase_if(symbols_,
                  [](const BuiltSymbol& one) { return one.type != 'T' && one.type != 't'; });
  std::ranges::stable_sort(symbols_, {}, &BuiltSymbol::address);
  if (options.form == format::KallsymsAddresses::based_percpu) {
    symbols_.insert(symbols_.begin(), {0x1000, 'A', "fixed_percpu_data"});
  }
  const auto kallsyms = build_kallsyms(symbols_, options.order, options.form, text_.value,
                                       (text_ + kKallsymsOffset).value);
  assert(kKallsymsOffset + kallsyms.bytes.size() <= image_size_);
  put_bytes(kKallsymsOffset, kallsyms.bytes);
}

Outcome<std::vector<x86::Registers>> Lab::registers() const {
  if (!has_registers_)
    return std::unexpected(Problem(Errc::unsupported, "this lab has no registers"));
  x86::Registers cpu;
  cpu.cr0 = 0x8005'0033;
  cpu.cr3 = cr3_;
  cpu.cr4 = levels_ == 5 ? 1U << 12 : 0;
  cpu.efer = 0xd01;
  cpu.idtr = {Gva{kIdt}, 0xfff};
  return std::vector{cpu};
}

}  // namespace vitrine::test
