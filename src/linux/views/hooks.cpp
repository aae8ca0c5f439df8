#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include "linux/kernel.h"
#include "linux/kernel_code.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/views/all_views.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

enum : std::size_t {
  kKind,
  kTarget,
  kHandler,
  kSymbol,
  kOwner,
  kModule,
  kKnown,
  kDiverts,
  kTargets,
  kAddress,
  kBytes
};

constexpr Column kColumns[] = {
    {"kind", ColumnType::text,
     "ftrace, ftrace direct, function graph, kprobe, kretprobe, tracepoint, static call, "
     "netfilter, "
     "notifier, LSM"},
    {"target", ColumnType::text,
     "what is hooked: a function, a tracepoint, a chain; the first of several"},
    {"handler", ColumnType::address, "what is called"},
    {"symbol", ColumnType::text, "its name"},
    {"owner", ColumnType::text, "whose code that is: kernel, module NAME, bpf ..., or unknown"},
    {"module", ColumnType::text, "the module's name; absent: no module's", Column::hidden},
    {"known", ColumnType::boolean, "false: it leads to code that nobody accounts for"},
    {"diverts", ColumnType::boolean,
     "it may change where the hooked function goes on (ftrace with IPMODIFY, as live patches have "
     "it)"},
    {"targets", ColumnType::list, "of ftrace: the functions, at most 16; empty: all of them",
     Column::hidden},
    {"address", ColumnType::address, "of the structure that registers it", Column::hidden},
    {"bytes", ColumnType::text, "the handler's first 32, in hexadecimal", Column::hidden},
};

constexpr ViewInfo kInfo = {
    .name = "hooks",
    .summary = "what the kernel calls because somebody registered it",
    .columns = kColumns,
    .order = "by kind, then as the kernel keeps them",
    .key = "kind target handler address",
};

constexpr std::size_t kMaxHooks = 1U << 16;
constexpr std::size_t kMaxTargets = 16;
constexpr std::size_t kMaxBuckets = 1U << 16;
constexpr std::size_t kMaxProbes = 4096;  // of one tracepoint, one chain
constexpr std::size_t kCodeBytes = 32;
constexpr std::uint64_t kIpModify = 1U << 12;  // FTRACE_OPS_FL_IPMODIFY, 5.10 to 7.3
constexpr std::uint64_t kDirect = 1U << 17;    // FTRACE_OPS_FL_DIRECT, since 5.5
constexpr std::size_t kKprobeBuckets = 64;     // KPROBE_TABLE_SIZE

/// Chains that anything in the kernel may be notified by, and that rootkits have used.
struct Chain {
  const char* symbol;
  const char* head;  // the member that leads to the first block
};
constexpr Chain kChains[] = {
    {"keyboard_notifier_list", "atomic_notifier_head.head"},
    {"module_notify_list", "blocking_notifier_head.head"},
    {"reboot_notifier_list", "blocking_notifier_head.head"},
    {"panic_notifier_list", "atomic_notifier_head.head"},
    {"netdev_chain", "raw_notifier_head.head"},
    {"inetaddr_chain", "blocking_notifier_head.head"},
    {"die_chain", "atomic_notifier_head.head"},
    {"vt_notifier_list", "atomic_notifier_head.head"},
    {"usb_notifier_list", "blocking_notifier_head.head"},
    {"task_exit_notifier", "blocking_notifier_head.head"},
    {"munmap_notifier", "blocking_notifier_head.head"},
};

class Reader final : public ViewReader {
 public:
  explicit Reader(const Kernel& kernel)
      : kernel_(kernel), memory_(kernel.memory()), of_(kernel.types()) {}

  Outcome<Tally> read(RowSink& rows) override {
    auto code = TRY(KernelCode::read(kernel_));
    code_ = &code;
    rows_ = &rows;
    tally_ = {};
    tally_.truncated = code.truncated();
    tally_.warnings = code.warnings();
    given_ = 0;
    ftrace() && direct() && graph() && kprobes() && tracepoints() && static_calls() &&
        netfilter() && chains() && lsm();
    code_ = nullptr;
    return std::move(tally_);
  }

 private:
  struct Hook {
    const char* kind;
    std::string target;
    Gva handler, address;
    bool diverts = false;
    std::vector<std::string> targets{};
  };

  [[nodiscard]] std::uint64_t word(Gva at) const {
    return memory_.load<std::uint64_t>(at).value_or(0);
  }
  [[nodiscard]] std::optional<Gva> symbol(const char* name) const {
    return kernel_.symbols().find(name);
  }

  bool give(Hook hook) {
    if (++given_ > kMaxHooks) {
      tally_.truncated = true;
      return false;
    }
    auto& rows = *rows_;
    const auto where = code_->where(hook.handler);
    rows.begin();
    rows.set(kKind, std::string(hook.kind));
    rows.set(kTarget, std::move(hook.target));
    rows.set(kHandler, hook.handler.value);
    if (!where.symbol.empty()) rows.set(kSymbol, where.symbol);
    rows.set(kOwner, where.text);
    if (!where.module.empty()) rows.set(kModule, where.module);
    rows.set(kKnown, where.known());
    rows.set(kDiverts, hook.diverts);
    rows.set(kTargets, std::move(hook.targets));
    rows.set(kAddress, hook.address.value);
    if (rows.wants(kBytes)) rows.set(kBytes, hexadecimal_at(memory_, hook.handler, kCodeBytes));
    return rows.end();
  }

  /// The functions in an ftrace_hash: name, direct target.
  bool each_entry(Gva hash, const std::function<bool(Gva ip, Gva direct)>& visit) {
    const auto bits = of_.find("ftrace_hash.size_bits"), buckets = of_.find("ftrace_hash.buckets"),
               ip = of_.find("ftrace_func_entry.ip"), direct = of_.find("ftrace_func_entry.direct"),
               link = of_.find("ftrace_func_entry.hlist");
    if (!bits || !buckets || !ip || !link || !hash) return true;
    const auto width = word(hash + *bits);
    const Gva table{word(hash + *buckets)};
    if (width > 16 || !is_kernel_pointer(table)) return true;
    bool go_on = true;
    for (std::uint64_t i = 0; i < (1ULL << width) && go_on; ++i) {
      const auto walked = walk_hlist(memory_, table + i * 8, kMaxBuckets, [&](Gva node) {
        const Gva entry = node - *link;
        return go_on = visit(Gva{word(entry + *ip)}, direct ? Gva{word(entry + *direct)} : Gva{});
      });
      tally_.truncated |= walked.truncated;
    }
    return go_on;
  }

  bool ftrace() {
    const auto list = symbol("ftrace_ops_list"), end = symbol("ftrace_list_end");
    const auto func = of_.find("ftrace_ops.func"), next = of_.find("ftrace_ops.next"),
               flags = of_.find("ftrace_ops.flags"), hash = of_.find("ftrace_ops.func_hash"),
               saved = of_.find("ftrace_ops.saved_func"),
               filter = of_.find("ftrace_ops_hash.filter_hash"),
               fprobe_ops = of_.find("fprobe.ops"), entry = of_.find("fprobe.entry_handler"),
               leave = of_.find("fprobe.exit_handler");
    if (!list || !end || !func || !next || !flags) return true;
    std::set<Gva> seen;
    for (Gva ops{word(*list)}; ops && ops != *end; ops = Gva{word(ops + *next)}) {
      if (!is_kernel_pointer(ops) || !seen.insert(ops).second || seen.size() > kMaxHooks) {
        tally_.warnings.emplace_back("the list of ftrace_ops breaks off");
        break;
      }
      const Gva handler{word(ops + *func)};
      std::vector<std::string> targets;
      if (hash && filter) {
        const Gva filters{word(Gva{word(ops + *hash)} + *filter)};
        each_entry(filters, [&](Gva ip, Gva) {
          targets.push_back(function_at(ip));
          return targets.size() < kMaxTargets;
        });
      }
      std::ranges::sort(targets);
      const bool diverts = (word(ops + *flags) & (kIpModify | kDirect)) != 0;
      const std::string target = targets.empty() ? "every function" : targets.front();
      if (!give({"ftrace", target, handler, ops, diverts, targets})) return false;
      // ops->func is wrapped where it is not recursion safe; what was asked for is kept beside it.
      if (saved) {
        const Gva own{word(ops + *saved)};
        if (own && own != handler && !give({"ftrace", target, own, ops, diverts, targets}))
          return false;
      }
      // A struct fprobe (5.18 to 6.13) is called through an ftrace_ops of its own.
      const auto name = code_->symbol_at(handler);
      if (fprobe_ops && (name == "fprobe_handler" || name == "fprobe_kprobe_handler")) {
        const Gva probe = ops - *fprobe_ops;
        for (const auto& part : {entry, leave}) {
          const Gva own{part ? word(probe + *part) : 0};
          if (own && !give({"ftrace", target, own, probe, false, targets})) return false;
        }
      }
    }
    return true;
  }

  bool direct() {
    const auto functions = symbol("direct_functions");
    if (!functions) return true;
    return each_entry(Gva{word(*functions)}, [&](Gva ip, Gva to) {
      return !to || give({"ftrace direct", function_at(ip), to, *functions, true});
    });
  }

  bool graph() {
    const auto array = symbol("fgraph_array");
    const auto entry = of_.find("fgraph_ops.entryfunc"), ret = of_.find("fgraph_ops.retfunc");
    if (array && entry && ret) {
      for (std::uint64_t i = 0; i < 16; ++i) {
        const Gva ops{word(*array + i * 8)};
        if (!is_kernel_pointer(ops)) continue;
        for (const Gva handler : {Gva{word(ops + *entry)}, Gva{word(ops + *ret)}}) {
          if (handler && !give({"function graph", "every function", handler, ops, true}))
            return false;
        }
      }
    }
    for (const char* name : {"ftrace_graph_return", "ftrace_graph_entry"}) {
      const auto at = symbol(name);
      if (!at) continue;
      const Gva handler{word(*at)};
      if (handler && !give({"function graph", name, handler, *at, false})) return false;
    }
    return true;
  }

  bool kprobes() {
    const auto table = symbol("kprobe_table");
    const auto hlist = of_.find("kprobe.hlist"), list = of_.find("kprobe.list"),
               addr = of_.find("kprobe.addr"), pre = of_.find("kprobe.pre_handler"),
               post = of_.find("kprobe.post_handler");
    if (!table || !hlist || !list || !addr || !pre || !post) return true;
    const Gva aggregate = symbol("aggr_pre_handler").value_or(Gva{}),
              returning = symbol("pre_handler_kretprobe").value_or(Gva{});
    const auto kp = of_.find("kretprobe.kp"), handler = of_.find("kretprobe.handler"),
               entry = of_.find("kretprobe.entry_handler");
    bool go_on = true;
    const auto one = [&](Gva probe) {
      const auto target = function_at(Gva{word(probe + *addr)});
      const Gva before{word(probe + *pre)}, after{word(probe + *post)};
      if (before && !give({"kprobe", target, before, probe, true})) return false;
      if (after && !give({"kprobe", target, after, probe})) return false;
      if (before && before == returning && kp && handler && entry) {
        const Gva ret = probe - *kp;
        for (const Gva own : {Gva{word(ret + *handler)}, Gva{word(ret + *entry)}}) {
          if (own && !give({"kretprobe", target, own, ret})) return false;
        }
      }
      return true;
    };
    for (std::size_t i = 0; i < kKprobeBuckets && go_on; ++i) {
      const auto walked = walk_hlist(memory_, *table + i * 8, kMaxHooks, [&](Gva node) {
        const Gva probe = node - *hlist;
        if (!one(probe)) return go_on = false;
        if (!aggregate || Gva{word(probe + *pre)} != aggregate) return true;
        const auto members = walk_list(memory_, probe + *list, kMaxProbes,
                                       [&](Gva member) { return go_on = one(member - *list); });
        tally_.truncated |= members.truncated;
        return go_on;
      });
      tally_.truncated |= walked.truncated;
    }
    return go_on;
  }

  /// Calls `visit` for each of the kernel's symbols that start so.
  bool each_symbol(std::string_view prefix, const std::function<bool(const Symbol&)>& visit) {
    const SymbolTable& symbols = kernel_.symbols();
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const auto symbol = symbols.at(i);
      if (symbol.name.starts_with(prefix) && !visit(symbol)) return false;
    }
    return true;
  }

  bool tracepoints() {
    const auto funcs = of_.find("tracepoint.funcs"), func = of_.find("tracepoint_func.func");
    const auto stride = kernel_.types().size_of("tracepoint_func");
    const auto title = of_.find("tracepoint.name");
    if (!funcs || !func || !stride || !title) return true;
    return each_symbol("__tracepoint_", [&](const Symbol& point) {
      // __tracepoint_ext_NAME is no tracepoint (7.x): a real one knows its name.
      const auto own = memory_.load_string(Gva{word(point.address + *title)}, 256);
      if (!own || *own != point.name.substr(13)) return true;
      const Gva array{word(point.address + *funcs)};
      if (!is_kernel_pointer(array)) return true;
      for (std::size_t i = 0; i < kMaxProbes; ++i) {
        const Gva handler{word(array + i * *stride + *func)};
        if (!handler) return true;
        if (!give({"tracepoint", std::string(point.name.substr(13)), handler, array + i * *stride}))
          return false;
      }
      tally_.truncated = true;
      return true;
    });
  }

  /// Of static calls, only those that lead out of the kernel's own text: there are thousands.
  bool static_calls() {
    return each_symbol("__SCK__", [&](const Symbol& key) {
      const Gva handler{word(key.address)};
      if (!handler || code_->in_kernel_text(handler)) return true;
      return give({"static call", std::string(key.name.substr(7)), handler, key.address});
    });
  }

  bool netfilter() {
    const auto list = symbol("net_namespace_list");
    const auto link = of_.find("net.list"), nf = of_.find("net.nf"),
               count = of_.find("nf_hook_entries.num_hook_entries"),
               hooks = of_.find("nf_hook_entries.hooks"), hook = of_.find("nf_hook_entry.hook");
    const auto stride = kernel_.types().size_of("nf_hook_entry");
    if (!list || !link || !nf || !count || !hooks || !hook || !stride) return true;
    bool go_on = true;
    const auto walked = walk_list(memory_, *list, kMaxProbes, [&](Gva node) {
      const Gva net = node - *link;
      for (const char* family : {"hooks_ipv4", "hooks_ipv6", "hooks_arp", "hooks_bridge"}) {
        const auto array = of_.find(std::string("netns_nf.") + family);
        const auto size = of_.size(std::string("netns_nf.") + family);
        if (!array || size > 128) continue;
        for (std::uint64_t at = 0; at < size && go_on; at += 8) {
          const Gva entries{word(net + *nf + *array + at)};
          if (!is_kernel_pointer(entries)) continue;
          const auto number = std::min<std::size_t>(
              memory_.load<std::uint16_t>(entries + *count).value_or(0), kMaxProbes);
          for (std::size_t i = 0; i < number && go_on; ++i) {
            const Gva handler{word(entries + *hooks + i * *stride + *hook)};
            if (handler)
              go_on = give({"netfilter", fmt::format("{}[{}]", family, at / 8), handler, entries});
          }
        }
      }
      return go_on;
    });
    tally_.truncated |= walked.truncated;
    return go_on;
  }

  bool chains() {
    const auto call = of_.find("notifier_block.notifier_call"),
               next = of_.find("notifier_block.next");
    if (!call || !next) return true;
    for (const auto& chain : kChains) {
      const auto at = symbol(chain.symbol);
      const auto head = of_.find(chain.head);
      if (!at || !head) continue;
      bool go_on = true;
      const auto walked =
          walk_chain(memory_, Gva{word(*at + *head)}, *next, kMaxProbes, [&](Gva block) {
            return go_on = give({"notifier", chain.symbol, Gva{word(block + *call)}, block});
          });
      tally_.truncated |= walked.truncated;
      if (!go_on) return false;
    }
    return true;
  }

  /// Up to 6.11 lists of hooks; since then static calls, which are above.
  bool lsm() {
    const auto heads = symbol("security_hook_heads");
    const auto list = of_.find("security_hook_list.list"),
               hook = of_.find("security_hook_list.hook");
    const auto size = kernel_.types().size_of("security_hook_heads");
    if (!heads || !list || !hook || !size || *size > 64 * kKiB) return true;
    bool go_on = true;
    for (std::uint64_t at = 0; at < *size && go_on; at += 8) {
      const auto walked = walk_hlist(memory_, *heads + at, kMaxProbes, [&](Gva node) {
        const Gva entry = node - *list;
        const Gva handler{word(entry + *hook)};
        if (code_->in_kernel_text(handler)) return true;  // the rest is what is worth a row
        return go_on = give({"LSM", code_->symbol_at(handler), handler, entry});
      });
      tally_.truncated |= walked.truncated;
    }
    return go_on;
  }

  [[nodiscard]] std::string function_at(Gva ip) const {
    auto name = code_->symbol_at(ip);
    // ftrace's place is a few bytes into the function (endbr64).
    if (const auto plus = name.rfind("+0x"); plus != std::string::npos && name.size() - plus <= 4)
      name.resize(plus);
    return name.empty() ? fmt::format("{:#x}", ip.value) : name;
  }

  const Kernel& kernel_;
  const VirtualMemory& memory_;
  Offsets of_;
  const KernelCode* code_ = nullptr;
  RowSink* rows_ = nullptr;
  Tally tally_;
  std::size_t given_ = 0;
};

Outcome<std::unique_ptr<ViewReader>> open(const Kernel& kernel) {
  TRY(kernel.symbol("_etext"));
  TRY(kernel.types().size_of("list_head"));
  return std::make_unique<Reader>(kernel);
}

}  // namespace

const View hooks_view(kInfo, open);

}  // namespace vitrine::linux
