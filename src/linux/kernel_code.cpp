#include "linux/kernel_code.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "linux/modules_offsets.h"
#include "linux/tasks.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"
#include "x86/paging.h"

namespace vitrine::linux {
namespace {

constexpr std::size_t kMaxNodes = 1U << 16;
constexpr std::uint64_t kMaxTrampoline = 64 * kKiB;
constexpr std::uint64_t kMaxProgram = 16 * kMiB;
constexpr int kAttempts = 3;
constexpr std::size_t kMaxPacks = 4096;
constexpr std::uint64_t kPackSize = 2 * kMiB;  // BPF_PROG_PACK_SIZE, at most
constexpr std::uint64_t kChunk = 64;           // BPF_PROG_CHUNK_SIZE

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace

std::string_view name(CodeOwner owner) noexcept {
  switch (owner) {
    case CodeOwner::kernel:
      return "kernel";
    case CodeOwner::module:
      return "module";
    case CodeOwner::bpf:
      return "bpf";
    case CodeOwner::ftrace:
      return "ftrace";
    case CodeOwner::kprobes:
      return "kprobes";
    case CodeOwner::unused:
      return "unused";
    case CodeOwner::unknown:
      return "unknown";
  }
  return "unknown";
}

std::string hexadecimal_at(const VirtualMemory& memory, Gva at, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    const auto byte = memory.load<std::uint8_t>(at + i);
    if (!byte) break;
    text += fmt::format("{:02x}", *byte);
  }
  return text;
}

void KernelCode::add_known(Gva start, std::uint64_t size, CodeOwner owner, std::string name) {
  if (size == 0 || start + size < start) return;
  if (known_.size() == kMaxRanges) {
    truncated_ = true;
    return;
  }
  known_.push_back({start, size, owner, std::move(name)});
}

Outcome<KernelCode> KernelCode::read(const Kernel& kernel) {
  // A module or program that came after its list was read is nobody's, once. Whoever hides stays
  // so.
  for (int attempt = 1;; ++attempt) {
    auto code = TRY(read_once(kernel));
    if (!code.has_unknown_ || attempt == kAttempts || !kernel.machine().live()) return code;
  }
}

Outcome<KernelCode> KernelCode::read_once(const Kernel& kernel) {
  KernelCode code(kernel);
  const auto text = TRY(kernel.symbol("_text"));
  const auto end = TRY(kernel.symbol("_etext"));
  code.text_start_ = text;
  code.text_end_ = end;
  // The last page is executable to its end; what follows _etext there is padding of the link.
  code.add_known(text, round_up(end - text, kPageSize), CodeOwner::kernel, {});
  const auto state = kernel.symbols().find("system_state");
  const auto running = kernel.types().find_enumerator("SYSTEM_RUNNING");
  if (state && running && kernel.memory().load<std::uint32_t>(*state).value_or(0) < *running) {
    const auto from = kernel.symbols().find("_sinittext"), to = kernel.symbols().find("_einittext");
    if (from && to && *to > *from)
      code.add_known(*from, round_up(*to - *from, kPageSize), CodeOwner::kernel, "init");
  }
  // What starts the other CPUs and wakes from sleep, in low memory.
  const auto blob = kernel.symbols().find("real_mode_blob"),
             blob_end = kernel.symbols().find("real_mode_blob_end"),
             header = kernel.symbols().find("real_mode_header");
  if (blob && blob_end && header && *blob_end > *blob && *blob_end - *blob < kMiB) {
    const auto at = kernel.memory().load<std::uint64_t>(*header).value_or(0);
    if (at != 0)
      code.add_known(Gva{at}, round_up(*blob_end - *blob, kPageSize), CodeOwner::kernel,
                     "real_mode");
  }
  code.read_modules_text();
  code.read_bpf();
  code.read_bpf_packs();
  code.read_ftrace();
  code.read_kprobes();
  code.sort_known();
  TRY(code.read_tables());
  for (const auto claim : {&KernelCode::claim_classic_bpf, &KernelCode::claim_freed_init}) {
    if (!code.has_unknown_ || !(code.*claim)()) continue;
    code.sort_known();
    code.rest_.clear();
    TRY(code.read_tables());
  }
  return code;
}

/// A module's init text is unmapped by a worker, after a grace period; that may take long on a
/// machine that gets no time. The module has forgotten it by then, but for where its init function
/// was.
bool KernelCode::claim_freed_init() {
  std::vector<CodeRange> freed;
  for (const auto& range : rest_) {
    if (range.owner != CodeOwner::unknown) continue;
    const auto module = std::ranges::find_if(modules_, [&](const Module& one) {
      return one.init != 0 && range.contains(Gva(one.init));
    });
    if (module != modules_.end())
      freed.push_back({range.start, range.size, CodeOwner::module, module->name});
  }
  if (freed.empty() || !frees_wait()) return false;
  for (auto& range : freed) add_known(range.start, range.size, range.owner, std::move(range.name));
  return true;
}

/// Whether init sections wait to be freed: for their worker (init_free_list), or, with it, for the
/// grace period that runs.
/// Source: do_free_init() in kernel/module/main.c; rcu_seq_state() in kernel/rcu/rcu.h.
bool KernelCode::frees_wait() const {
  constexpr std::uint64_t kStateOfGracePeriod = 3;  // RCU_SEQ_STATE_MASK; 0: none runs
  const auto& memory = kernel_->memory();
  const auto list = kernel_->symbols().find("init_free_list");
  if (list && memory.load<std::uint64_t>(*list).value_or(0) != 0) return true;
  const auto state = kernel_->symbols().find("rcu_state");
  const auto sequence = Offsets(kernel_->types()).find("rcu_state.gp_seq");
  if (!state || !sequence) return false;
  return (memory.load<std::uint64_t>(*state + *sequence).value_or(0) & kStateOfGracePeriod) != 0;
}

/// Sorts, and leaves no overlap: where a program lies within a pack, that piece is the program's.
void KernelCode::sort_known() {
  std::ranges::sort(known_, [](const CodeRange& a, const CodeRange& b) {
    return a.start != b.start ? a.start < b.start : a.size > b.size;
  });
  std::vector<CodeRange> flat, open;  // open: each lies in the one before it
  Gva done;                           // all before it is in `flat`
  const auto emit = [&](const CodeRange& range, Gva to) {
    const Gva from = std::max(done, range.start);
    if (to > from) flat.push_back({from, to - from, range.owner, range.name});
    done = std::max(done, to);
  };
  const auto close_until = [&](Gva at) {
    while (!open.empty() && open.back().end() <= at) {
      emit(open.back(), open.back().end());
      open.pop_back();
    }
  };
  for (auto& range : known_) {
    close_until(range.start);
    if (!open.empty()) emit(open.back(), range.start);
    open.push_back(std::move(range));
  }
  close_until(Gva{UINT64_MAX});
  known_ = std::move(flat);
}

/// Before there were packs, each program made from classic BPF had pages of its own, which no list
/// has: they are found by who uses them. @returns true if some were
bool KernelCode::claim_classic_bpf() {
  const Offsets of(kernel_->types());
  const auto& memory = kernel_->memory();
  const auto word = [&](Gva at) { return memory.load<std::uint64_t>(at).value_or(0); };
  const auto function = of.find("bpf_prog.bpf_func"), pages = of.find("bpf_binary_header.pages");
  if (!function || !pages) return false;
  const auto before = known_.size();
  const auto claim = [&](Gva program) {
    if (!is_kernel_pointer(program)) return;
    const Gva header{word(program + *function) & ~(kPageSize - 1)};
    if (!is_kernel_pointer(header)) return;
    const auto count = memory.load<std::uint32_t>(header + *pages).value_or(0);
    if (count != 0 && count <= kMaxProgram / kPageSize)
      add_known(header, count * kPageSize, CodeOwner::bpf, "classic");
  };
  // The kernel's own classifier of time stamps.
  if (const auto at = kernel_->symbols().find("ptp_insns")) claim(Gva{word(*at)});
  const auto tasks = TaskList::open(*kernel_);
  if (!tasks) return known_.size() != before;
  const auto filter = of.find("task_struct.seccomp.filter"),
             program = of.find("seccomp_filter.prog"), previous = of.find("seccomp_filter.prev");
  const auto files = of.find("task_struct.files"), fdt = of.find("files_struct.fdt"),
             array = of.find("fdtable.fd"), most = of.find("fdtable.max_fds"),
             operations = of.find("file.f_op"), data = of.find("file.private_data"),
             sock = of.find("socket.sk"), of_sock = of.find("sock.sk_filter"),
             of_filter = of.find("sk_filter.prog");
  const Gva sockets = kernel_->symbols().find("socket_file_ops").value_or(Gva{});
  for (const auto& process : tasks->processes().tasks) {
    if (filter && program && previous) {
      for (const auto& thread : tasks->threads_of(process).tasks) {
        Gva at{word(thread.address + *filter)};
        for (int depth = 0; depth < 256 && is_kernel_pointer(at);
             ++depth, at = Gva{word(at + *previous)})
          claim(Gva{word(at + *program)});
      }
    }
    if (!files || !fdt || !array || !most || !operations || !data || !sock || !of_sock ||
        !of_filter || !sockets)
      continue;
    const Gva table{word(process.address + *files)};
    if (!is_kernel_pointer(table)) continue;
    const Gva descriptors{word(table + *fdt)};
    if (!is_kernel_pointer(descriptors)) continue;
    const auto count =
        std::min<std::uint32_t>(memory.load<std::uint32_t>(descriptors + *most).value_or(0), 4096);
    const Gva first{word(descriptors + *array)};
    for (std::uint32_t fd = 0; fd < count; ++fd) {
      const Gva file{word(first + fd * 8)};
      if (!is_kernel_pointer(file) || Gva{word(file + *operations)} != sockets) continue;
      const Gva socket{word(file + *data)};
      if (!is_kernel_pointer(socket)) continue;
      const Gva sk{word(socket + *sock)};
      if (!is_kernel_pointer(sk)) continue;
      const Gva attached{word(sk + *of_sock)};
      if (is_kernel_pointer(attached)) claim(Gva{word(attached + *of_filter)});
    }
  }
  return known_.size() != before;
}

void KernelCode::read_modules_text() {
  auto list = read_modules(*kernel_);
  if (!list) {
    warnings_.push_back(list.error().message);
    return;
  }
  truncated_ |= list->truncated;
  for (auto& warning : list->warnings) warnings_.push_back(std::move(warning));
  modules_ = std::move(list->modules);
  for (const Module& module : modules_) {
    const auto& text = module.parts[kModuleText];
    add_known(text.start, round_up(text.size, kPageSize), CodeOwner::module, module.name);
    // It is there until it has been freed, some time after the module went live.
    const auto& init = module.parts[kModuleInitText];
    add_known(init.start, round_up(init.size, kPageSize), CodeOwner::module, module.name);
  }
}

void KernelCode::read_bpf() {
  const Offsets of(kernel_->types());
  const auto& memory = kernel_->memory();
  const auto word = [&](Gva at) { return memory.load<std::uint64_t>(at).value_or(0); };
  const auto list = of.find("bpf_ksym.lnode"), start = of.find("bpf_ksym.start"),
             end = of.find("bpf_ksym.end"), title = of.find("bpf_ksym.name");
  if (const auto head = kernel_->symbols().find("bpf_kallsyms"); head && list && start && end) {
    const auto walked = walk_list(memory, *head, kMaxNodes, [&](Gva node) {
      const Gva symbol = node - *list;
      const std::uint64_t from = word(symbol + *start), to = word(symbol + *end);
      if (to > from && to - from <= kMaxProgram) {
        const auto text =
            title ? memory.load_string(symbol + *title, of.size("bpf_ksym.name")) : std::string();
        add_known(Gva{from}, to - from, CodeOwner::bpf, text.value_or(""));
      }
      return true;
    });
    if (walked.broken)
      warnings_.push_back(fmt::format("bpf_kallsyms: {}", describe(*walked.broken)));
    truncated_ |= walked.truncated;
  }
}

/// Programs share packs of pages since 5.18 (commit 57631054fae6). Those made from classic BPF
/// (socket filters, seccomp) have no name in bpf_kallsyms: the pack's own bitmap tells of them.
void KernelCode::read_bpf_packs() {
  const Offsets of(kernel_->types());
  const auto& memory = kernel_->memory();
  const auto head = kernel_->symbols().find("pack_list");
  const auto list = of.find("bpf_prog_pack.list"), at = of.find("bpf_prog_pack.ptr"),
             bitmap = of.find("bpf_prog_pack.bitmap");
  if (!head || !list || !at || !bitmap) return;
  const auto walked = walk_list(memory, *head, kMaxPacks, [&](Gva node) {
    const Gva pack = node - *list;
    const Gva start{memory.load<std::uint64_t>(pack + *at).value_or(0)};
    std::array<std::uint64_t, kPackSize / kChunk / 64> bits{};
    // A pack is smaller on a machine of many nodes' worth; what lies behind its bitmap is another
    // object's, and its chunks are not executable.
    if (!start || !memory.read(pack + *bitmap, std::as_writable_bytes(std::span(bits))))
      return true;
    const auto used = [&](std::uint64_t chunk) {
      return (bits[chunk / 64] >> chunk % 64 & 1) != 0;
    };
    for (std::uint64_t chunk = 0; chunk < kPackSize / kChunk; ++chunk) {
      if (!used(chunk)) continue;
      const auto first = chunk;
      while (chunk + 1 < kPackSize / kChunk && used(chunk + 1)) ++chunk;
      add_known(start + first * kChunk, (chunk + 1 - first) * kChunk, CodeOwner::bpf, "pack");
    }
    return true;
  });
  truncated_ |= walked.truncated;
}

void KernelCode::read_ftrace() {
  const Offsets of(kernel_->types());
  const auto& memory = kernel_->memory();
  const auto list = of.find("ftrace_ops.list"), at = of.find("ftrace_ops.trampoline"),
             size = of.find("ftrace_ops.trampoline_size");
  const auto head = kernel_->symbols().find("ftrace_ops_trampoline_list");
  if (!head || !list || !at || !size) return;
  const auto walked = walk_list(memory, *head, kMaxNodes, [&](Gva node) {
    const Gva ops = node - *list;
    const auto start = memory.load<std::uint64_t>(ops + *at).value_or(0);
    const auto bytes = memory.load<std::uint64_t>(ops + *size).value_or(0);
    if (start != 0 && bytes <= kMaxTrampoline) {
      add_known(Gva{start}, round_up(bytes, kPageSize), CodeOwner::ftrace, "ftrace_trampoline");
    }
    return true;
  });
  if (walked.broken)
    warnings_.push_back(fmt::format("ftrace_ops_trampoline_list: {}", describe(*walked.broken)));
  truncated_ |= walked.truncated;
}

void KernelCode::read_kprobes() {
  const Offsets of(kernel_->types());
  const auto& memory = kernel_->memory();
  const auto pages = of.find("kprobe_insn_cache.pages"), list = of.find("kprobe_insn_page.list"),
             insns = of.find("kprobe_insn_page.insns");
  if (!pages || !list || !insns) return;
  for (const char* cache : {"kprobe_insn_slots", "kprobe_optinsn_slots"}) {
    const auto head = kernel_->symbols().find(cache);
    if (!head) continue;
    const auto walked = walk_list(memory, *head + *pages, kMaxNodes, [&](Gva node) {
      const auto page = memory.load<std::uint64_t>(node - *list + *insns).value_or(0);
      if (page != 0) add_known(Gva{page}, kPageSize, CodeOwner::kprobes, cache);
      return true;
    });
    truncated_ |= walked.truncated;
  }
}

Outcome<void> KernelCode::read_tables() {
  const auto& memory = kernel_->memory();
  const Gva upper{kernel_->identity().levels == 5 ? 0xff00'0000'0000'0000 : 0xffff'8000'0000'0000};
  const auto walked = x86::for_each_mapping(kernel_->ram(), memory.root(), upper, Gva{}, kMaxTables,
                                            [&](const x86::Mapping& mapping) {
                                              if (mapping.first.executable)
                                                split_rest(mapping.start, mapping.size);
                                              return rest_.size() < kMaxRanges;
                                            });
  if (!walked) {
    truncated_ = true;
    warnings_.push_back(fmt::format("the kernel's page tables: {}", describe(walked.error())));
  }
  truncated_ |= rest_.size() >= kMaxRanges;
  has_unknown_ = std::ranges::any_of(
      rest_, [](const CodeRange& range) { return range.owner == CodeOwner::unknown; });
  return {};
}

/// What of an executable mapping no known range covers, page by page.
void KernelCode::split_rest(Gva start, std::uint64_t size) {
  const std::uint64_t end = start.value + (size - 1);  // inclusive: the last page ends at 2^64
  std::uint64_t at = start.value;
  auto next = std::ranges::lower_bound(known_, start, {},
                                       [](const CodeRange& range) { return range.start; });
  if (next != known_.begin() && std::prev(next)->end() > start) --next;
  const auto piece = [&](std::uint64_t from, std::uint64_t last) {
    for (;;) {
      const std::uint64_t stop = std::min(last, from | (kPageSize - 1));
      const bool empty = nothing_to_run(Gva{from}, stop - from + 1);
      const auto owner = empty ? CodeOwner::unused : CodeOwner::unknown;
      if (!rest_.empty() && rest_.back().owner == owner && rest_.back().end() == Gva{from}) {
        rest_.back().size += stop - from + 1;
      } else {
        if (rest_.size() == kMaxRanges) return;
        rest_.push_back({Gva{from}, stop - from + 1, owner, {}});
      }
      if (stop == last) return;
      from = stop + 1;
    }
  };
  for (; next != known_.end() && next->start.value <= end; ++next) {
    if (next->end().value <= at) continue;
    if (next->start.value > at) piece(at, next->start.value - 1);
    at = std::max(at, next->end().value);
    if (at > end || at == 0) return;
  }
  piece(at, end);
}

/// Traps (what the kernel fills free executable memory with), zeros and what cannot be read.
bool KernelCode::nothing_to_run(Gva start, std::uint64_t size) const {
  auto& looked_at = const_cast<KernelCode*>(this)->pages_looked_at_;
  if (++looked_at > kMaxPages) {
    const_cast<KernelCode*>(this)->truncated_ = true;
    return true;
  }
  std::array<std::byte, kPageSize> page;
  const auto bytes = MutableBytes(page).first(std::min<std::uint64_t>(size, kPageSize));
  if (!kernel_->memory().read(start, bytes)) return true;
  return std::ranges::all_of(
      bytes, [](std::byte byte) { return byte == std::byte{0xcc} || byte == std::byte{0}; });
}

const CodeRange* KernelCode::find(Gva at) const {
  const auto in = [at](const std::vector<CodeRange>& ranges) -> const CodeRange* {
    auto after = std::ranges::upper_bound(ranges, at, {},
                                          [](const CodeRange& range) { return range.start; });
    if (after == ranges.begin()) return nullptr;
    --after;
    return after->contains(at) ? &*after : nullptr;
  };
  const CodeRange* found = in(known_);
  return found != nullptr ? found : in(rest_);
}

std::string KernelCode::symbol_at(Gva at) const {
  const auto told = [&](const SymbolTable& symbols) -> std::string {
    const auto symbol = symbols.nearest(at);
    if (!symbol) return {};
    const auto beyond = at - symbol->address;
    return beyond == 0 ? std::string(symbol->name) : fmt::format("{}+{:#x}", symbol->name, beyond);
  };
  const CodeRange* range = find(at);
  if (range == nullptr || range->owner == CodeOwner::unknown || range->owner == CodeOwner::unused) {
    // Names of data: an address in the kernel's image may still be told.
    const auto end = kernel_->symbols().find("_end");
    return end && at >= text_start_ && at < *end ? told(kernel_->symbols()) : std::string();
  }
  if (range->owner == CodeOwner::kernel) return told(kernel_->symbols());
  if (range->owner == CodeOwner::module) return told(kernel_->module_symbols());
  const auto beyond = at - range->start;
  return beyond == 0 ? range->name : fmt::format("{}+{:#x}", range->name, beyond);
}

CodeWhere KernelCode::where(Gva at) const {
  CodeWhere where;
  if (const CodeRange* range = find(at)) {
    where.owner = range->owner;
    where.executable = true;
    where.text = range->owner == CodeOwner::module ? fmt::format("module {}", range->name)
                                                   : std::string(name(range->owner));
    if (range->owner == CodeOwner::module) where.module = range->name;
  } else {
    where.text = "not executable";
  }
  where.symbol = symbol_at(at);
  return where;
}

}  // namespace vitrine::linux
