#include "linux/patch_sites.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_set>

#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kMaxTable = 64 * kMiB;
constexpr std::size_t kMaxPages = 1U << 16;
constexpr std::size_t kMaxUnreadable = 256;  // tables that could not be read
constexpr std::size_t kKprobeBuckets = 64;
constexpr std::uint64_t kJumpEntry = 16;      // s32 code, s32 target, s64 key: relative, since 4.19
constexpr std::uint64_t kStaticCallSite = 8;  // s32 address, s32 key

class Collector {
 public:
  Collector(const Kernel& kernel, const KernelCode& code, std::vector<PatchSite>& sites,
            std::vector<std::string>& warnings)
      : kernel_(kernel),
        memory_(kernel.memory()),
        code_(code),
        of_(kernel.types()),
        sites_(sites),
        warnings_(warnings) {}

  void run() {
    ftrace();
    static_keys();
    static_calls();
    trampolines();
    kprobes();
  }

 private:
  [[nodiscard]] std::uint64_t word(Gva at) const {
    return memory_.load<std::uint64_t>(at).value_or(0);
  }

  void add(const PatchSite& site) {
    if (sites_.size() < PatchSites::kMaxSites) sites_.push_back(site);
  }
  /// No more are taken: nothing is read for them.
  [[nodiscard]] bool full() const { return sites_.size() >= PatchSites::kMaxSites; }

  /// How many the tables beside ftrace's claim, and as many trampolines as kernels have. A vector
  /// that grows holds twice what it has, and half of that again while it does.
  [[nodiscard]] std::size_t other_sites() const {
    constexpr std::size_t kTrampolines = 4096;
    std::uint64_t sites = 0;
    constexpr std::uint64_t kMost = PatchSites::kMaxSites;
    const auto table = [&](std::string_view first, std::string_view last, std::uint64_t entry) {
      const auto start = kernel_.symbols().find(first), end = kernel_.symbols().find(last);
      if (start && end && *end > *start) sites += std::min((*end - *start) / entry, kMost);
    };
    table("__start___jump_table", "__stop___jump_table", kJumpEntry);
    table("__start_static_call_sites", "__stop_static_call_sites", kStaticCallSite);
    for (const char* member : {"module.num_jump_entries", "module.num_static_call_sites"}) {
      const auto count = of_.find(member);
      for (const Module& module : code_.modules())
        if (count) sites += memory_.load<std::uint32_t>(module.address + *count).value_or(0);
    }
    return static_cast<std::size_t>(std::min(sites, kMost)) + kTrampolines;
  }

  void ftrace() {
    const auto start = kernel_.symbols().find("ftrace_pages_start");
    const auto next = of_.find("ftrace_page.next"), records = of_.find("ftrace_page.records"),
               index = of_.find("ftrace_page.index"), ip = of_.find("dyn_ftrace.ip");
    const auto stride = kernel_.types().size_of("dyn_ftrace");
    if (!start || !next || !records || !index || !ip || !stride || *stride > 64) return;
    std::unordered_set<Gva> seen;
    std::size_t expected = other_sites();
    for (Gva page{word(*start)}; is_kernel_pointer(page) && seen.insert(page).second &&
                                 seen.size() <= kMaxPages && expected < PatchSites::kMaxSites;
         page = Gva{word(page + *next)})
      expected += memory_.load<std::uint32_t>(page + *index).value_or(0);
    sites_.reserve(std::min(expected, PatchSites::kMaxSites));
    seen.clear();
    std::vector<std::byte> block;
    for (Gva page{word(*start)}; page; page = Gva{word(page + *next)}) {
      if (full()) return;
      if (!is_kernel_pointer(page) || !seen.insert(page).second || seen.size() > kMaxPages) {
        warnings_.emplace_back("the pages of ftrace records break off");
        return;
      }
      const auto count = memory_.load<std::uint32_t>(page + *index).value_or(0);
      if (count == 0 || count * *stride > kMaxTable) continue;
      block.resize(count * *stride);
      if (!memory_.read(Gva{word(page + *records)}, block)) {
        if (++unreadable_ > kMaxUnreadable) return;
        continue;
      }
      for (std::uint64_t i = 0; i < count; ++i) {
        add({.at = Gva{load<std::uint64_t>(block, i * *stride + *ip).value_or(0)}});
      }
    }
  }

  void jump_table(Gva start, std::uint64_t size) {
    if (size == 0 || size > kMaxTable || full() || unreadable_ > kMaxUnreadable) return;
    std::vector<std::byte> table(size / kJumpEntry * kJumpEntry);
    if (auto done = memory_.read(start, table); !done) {
      warnings_.push_back(fmt::format("a table of static keys: {}", describe(done.error())));
      ++unreadable_;
      return;
    }
    for (std::uint64_t at = 0; at < table.size(); at += kJumpEntry) {
      const std::int64_t code = load<std::int32_t>(table, at).value_or(0),
                         target = load<std::int32_t>(table, at + 4).value_or(0);
      const Gva site = start + at + static_cast<std::uint64_t>(code);
      const auto first = memory_.load<std::uint8_t>(site);
      if (!first) {  // init text, gone
        if (++gone_ > PatchSites::kMaxSites) return;
        continue;
      }
      const bool is_short = *first == 0xeb || *first == 0x66;
      PatchSite key{.at = site,
                    .kind = PatchSite::Kind::static_key,
                    .size = static_cast<std::uint8_t>(is_short ? 2 : 5)};
      key.jump_to(start + at + 4 + static_cast<std::uint64_t>(target));
      add(key);
    }
  }

  void static_keys() {
    const auto start = kernel_.symbols().find("__start___jump_table"),
               end = kernel_.symbols().find("__stop___jump_table");
    if (start && end && *end > *start) jump_table(*start, *end - *start);
    const auto entries = of_.find("module.jump_entries"),
               count = of_.find("module.num_jump_entries");
    if (!entries || !count) return;
    for (const Module& module : code_.modules()) {
      jump_table(Gva{word(module.address + *entries)},
                 memory_.load<std::uint32_t>(module.address + *count).value_or(0) * kJumpEntry);
    }
  }

  void call_table(Gva start, std::uint64_t size) {
    if (size == 0 || size > kMaxTable || full() || unreadable_ > kMaxUnreadable) return;
    std::vector<std::byte> table(size / kStaticCallSite * kStaticCallSite);
    if (!memory_.read(start, table)) {
      ++unreadable_;
      return;
    }
    for (std::uint64_t at = 0; at < table.size(); at += kStaticCallSite) {
      const std::int64_t place = load<std::int32_t>(table, at).value_or(0);
      // A conditional tail call (0f 8x) is a byte longer.
      add({.at = start + at + static_cast<std::uint64_t>(place),
           .kind = PatchSite::Kind::static_call,
           .size = 6});
    }
  }

  void static_calls() {
    const auto start = kernel_.symbols().find("__start_static_call_sites"),
               end = kernel_.symbols().find("__stop_static_call_sites");
    if (start && end && *end > *start) call_table(*start, *end - *start);
    const auto sites = of_.find("module.static_call_sites"),
               count = of_.find("module.num_static_call_sites");
    if (!sites || !count) return;
    for (const Module& module : code_.modules()) {
      call_table(
          Gva{word(module.address + *sites)},
          memory_.load<std::uint32_t>(module.address + *count).value_or(0) * kStaticCallSite);
    }
  }

  void trampolines() {
    const auto take = [&](const SymbolTable& symbols) {
      for (std::size_t i = 0; i < symbols.size(); ++i) {
        const auto symbol = symbols.at(i);
        const bool call = symbol.name.starts_with("__SCT__");
        const bool dispatcher =
            symbol.name.starts_with("bpf_dispatcher_") && symbol.name.ends_with("_func");
        if (call || dispatcher)
          add({.at = symbol.address,
               .kind = PatchSite::Kind::trampoline,
               .size = static_cast<std::uint8_t>(call ? 8 : 16)});
      }
    };
    // Where ftrace's own entry calls whoever is registered, and may call the graph tracer.
    for (const char* name : {"ftrace_call", "ftrace_regs_call", "ftrace_graph_call"}) {
      if (const auto at = kernel_.symbols().find(name))
        add({.at = *at, .kind = PatchSite::Kind::trampoline, .size = 5});
    }
    take(kernel_.symbols());
    take(kernel_.module_symbols());
  }

  void kprobes() {
    const auto table = kernel_.symbols().find("kprobe_table");
    const auto hlist = of_.find("kprobe.hlist"), addr = of_.find("kprobe.addr"),
               opcode = of_.find("kprobe.opcode"), kp = of_.find("optimized_kprobe.kp"),
               copied = of_.find("optimized_kprobe.optinsn.copied_insn");
    if (!table || !hlist || !addr || !opcode) return;
    for (std::size_t i = 0; i < kKprobeBuckets; ++i) {
      (void)walk_hlist(memory_, *table + i * 8, kMaxPages, [&](Gva node) {
        if (full()) return false;
        const Gva probe = node - *hlist;
        PatchSite site{.at = Gva{word(probe + *addr)}, .kind = PatchSite::Kind::kprobe, .size = 1};
        site.opcode = memory_.load<std::uint8_t>(probe + *opcode).value_or(0);
        if (memory_.load<std::uint8_t>(site.at).value_or(0) == 0xe9 && site.opcode != 0xe9 && kp &&
            copied) {
          site.size = 5;
          site.copy(memory_.load<std::array<std::uint8_t, 4>>(probe - *kp + *copied)
                        .value_or(std::array<std::uint8_t, 4>{}));
        }
        add(site);
        return true;
      });
    }
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  const KernelCode& code_;
  Offsets of_;
  std::vector<PatchSite>& sites_;
  std::vector<std::string>& warnings_;
  std::size_t unreadable_ = 0, gone_ = 0;
};

}  // namespace

PatchSites PatchSites::read(const Kernel& kernel, const KernelCode& code) {
  PatchSites sites;
  Collector(kernel, code, sites.sites_, sites.warnings_).run();
  if (sites.sites_.size() >= kMaxSites)
    sites.warnings_.emplace_back("the kernel claims more patch sites than are looked at");
  std::ranges::sort(sites.sites_, {}, &PatchSite::at);
  return sites;
}

const PatchSite* PatchSites::find(Gva at) const {
  const auto found = std::ranges::lower_bound(sites_, at, {}, &PatchSite::at);
  return found != sites_.end() && found->at == at ? &*found : nullptr;
}

std::span<const PatchSite> PatchSites::within(Gva start, std::uint64_t size) const {
  const auto first = std::ranges::lower_bound(sites_, start, {}, &PatchSite::at);
  const auto last = std::ranges::lower_bound(first, sites_.end(), start + size, {}, &PatchSite::at);
  return {first, last};
}

void PatchSites::undo(Gva start, MutableBytes text) const {
  for (const auto& site : within(start, text.size())) {
    const auto at = site.at - start;
    const auto room = std::min<std::size_t>(site.size, text.size() - at);
    if (site.kind == PatchSite::Kind::kprobe) {
      // A kprobe on a site of ftrace is served by ftrace: nothing of it stands in the text.
      const auto here = std::to_integer<std::uint8_t>(text[at]);
      if (here != 0xcc && !(here == 0xe9 && site.size == 5)) continue;
      text[at] = std::byte{site.opcode};
      for (std::size_t i = 1; i < room; ++i) text[at + i] = std::byte{site.copied()[i - 1]};
      continue;
    }
    std::ranges::fill(text.subspan(at, room), std::byte{0});
  }
}

}  // namespace vitrine::linux
