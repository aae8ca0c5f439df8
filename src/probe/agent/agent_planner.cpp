#include "probe/agent/agent_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "linux/modules.h"
#include "linux/type_catalogue.h"
#include "linux/type_path.h"
#include "probe/agent/function_exits.h"
#include "probe/agent/system_call_ends.h"
#include "probe/block_needs.h"
#include "probe/code_places.h"
#include "probe/named_places.h"
#include "vmipl/catalogue.h"
#include "x86/descriptor.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMostFunctions = 20000;
constexpr std::uint64_t kMostBytes = 64 << 20;

std::string plural(std::size_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

/// The offset of a member reached without pointers.
std::optional<std::uint64_t> offset_of(const linux::TypeCatalogue& types, std::string_view path) {
  const auto compiled = linux::MemberPath::compile(types, path);
  if (!compiled || compiled->route().hop_count != 0) return std::nullopt;
  return compiled->route().offset;
}

bool is_kernel(std::uint64_t address) { return static_cast<std::int64_t>(address) < 0; }

}  // namespace

std::optional<std::uint64_t> AgentPlanner::symbol(std::string_view name) const {
  const auto found = kernel_.symbols().find(name);
  return found ? std::optional(found->value) : std::nullopt;
}

// ---- ExecuteAt, Return

std::optional<Offer> AgentPlanner::code_sites(const vmipl::ProgramProbe& probe, AgentProbe& into,
                                              std::string& words) const {
  using Kind = vmipl::ProbeArgument::Kind;
  const auto& argument = probe.arguments.at(0);
  switch (argument.kind) {
    case Kind::number:
      into.sites.push_back({argument.number_value, argument.number_value, 0});
      words = fmt::format("a call in the translated code at {:#x}", argument.number_value);
      return std::nullopt;
    case Kind::symbol: {
      const auto place = place_named(kernel_, argument.text_value, Takes::patterns);
      if (!place) return Offer::refuse(place.error().message, place.error().hint);
      into.sites.push_back({place->value + argument.number_value, place->value, 0});
      words = fmt::format("a call in the translated code of {}", argument.text_value);
      return std::nullopt;
    }
    case Kind::pattern:
    case Kind::text: {
      const auto found = functions_named(kernel_, argument.text_value, kMostFunctions);
      if (found.empty())
        return Offer::refuse(
            fmt::format("no function of this kernel fits \"{}\"", argument.text_value));
      if (found.size() > kMostFunctions)
        return Offer::refuse(
            fmt::format("\"{}\" fits more than {} functions", argument.text_value, kMostFunctions),
            "narrow the pattern");
      for (const auto& one : found) into.sites.push_back({one.address.value, one.address.value, 0});
      words = fmt::format("calls in the translated code of {}", plural(found.size(), "function"));
      return std::nullopt;
    }
  }
  return std::nullopt;
}

std::optional<Offer> AgentPlanner::add_exits(std::uint64_t function, std::uint64_t detail,
                                             bool with_entry, AgentProbe& into) const {
  const auto ways = ways_out(kernel_, Gva{function});
  if (!ways && ways.error().code == Errc::too_large)
    return Offer::refuse(fmt::format("the function at {:#x} ends in too many others", function));
  if (!ways)
    return Offer::refuse(fmt::format("the code at {:#x} cannot be read: {}", function,
                                     vitrine::describe(ways.error())));
  const auto add = [&](Gva at, SiteRole role) {
    into.sites.push_back({at.value, detail, static_cast<std::uint64_t>(role)});
  };
  for (const auto& one : ways->returns)
    add(one.address, one.foreign ? SiteRole::foreign_exit : SiteRole::exit);
  if (ways->foreign || with_entry) add(Gva{function}, SiteRole::entry);
  return std::nullopt;
}

std::optional<Offer> AgentPlanner::return_sites(const vmipl::ProgramProbe& probe, AgentProbe& into,
                                                std::string& words) const {
  AgentProbe starts;
  if (auto refused = code_sites(probe, starts, words)) return refused;
  std::size_t unreadable = 0;
  for (const auto& site : starts.sites) {
    if (!is_kernel(site.address))
      return Offer::refuse(
          "Return is served for functions of the kernel: where a program's function ends is not "
          "known");
    if (auto refused = add_exits(site.address, site.address, false, into)) {
      if (starts.sites.size() == 1) return refused;
      ++unreadable;
    }
  }
  if (into.sites.empty()) return Offer::refuse(kNeverReturns, "ExecuteAt fires where it begins");
  words = fmt::format("calls at the exits of {}, read off their code",
                      plural(starts.sites.size() - unreadable, "function"));
  if (unreadable != 0) words += fmt::format("; {} could not be read", unreadable);
  return std::nullopt;
}

// ---- memory

std::optional<Offer> AgentPlanner::access_range(const vmipl::ProgramProbe& probe, AgentProbe& into,
                                                Offer& offer) const {
  const auto& where = probe.arguments.at(0);
  std::uint64_t start = where.number_value;
  if (where.kind != vmipl::ProbeArgument::number) {
    const auto place = place_named(kernel_, where.text_value, Takes::one_place);
    if (!place) return Offer::refuse(place.error().message, place.error().hint);
    start += place->value;
  }
  const std::uint64_t size = probe.arguments.size() > 1 ? probe.arguments[1].number_value : 1;
  if (size == 0 || size > kMostBytes || start + size - 1 < start)
    return Offer::refuse(fmt::format("a range of {} bytes cannot be watched", size));
  into.ranges.push_back({start, size});
  offer.cost = CostClass::every_access;
  const bool kernel = is_kernel(start);
  offer.mechanism = fmt::format("a call at each {} of {}",
                                into.param == 1   ? "read"
                                : into.param == 2 ? "write"
                                                  : "access",
                                kernel ? "the kernel's code" : "the code that can reach it");
  offer.reason = kernel ? "programs' code cannot reach kernel memory, and is not touched; by the "
                          "address that the CPU uses: not what devices write"
                        : "all programs' code, and the kernel's unless SMAP keeps it out; in each "
                          "address space where it is mapped; not what devices write";
  return std::nullopt;
}

std::optional<Offer> AgentPlanner::tables(bool interrupts, AgentProbe& into) const {
  if (interrupts) {
    const auto table = symbol("idt_table");
    if (!table) return Offer::refuse("this kernel has no symbol idt_table");
    into.ranges.push_back({*table, x86::kGateSize * x86::kVectorCount});
    into.param = x86::kGateSize;
    return std::nullopt;
  }
  const auto page = symbol("gdt_page");
  if (!page) return Offer::refuse("this kernel has no symbol gdt_page");
  for (unsigned cpu = 0; cpu < std::min(kernel_.cpu_count(), 256U); ++cpu) {
    if (const auto at = kernel_.per_cpu(Gva{*page}, cpu))
      into.ranges.push_back({at->value, 16 * 8});
  }
  into.param = 8;
  if (into.ranges.empty()) return Offer::refuse("the kernel's GDTs cannot be found");
  return std::nullopt;
}

// ---- system calls

std::optional<Offer> AgentPlanner::calls(const vmipl::ProgramProbe& probe, AgentProbe& into) const {
  if (probe.arguments.empty()) return std::nullopt;
  into.native = into.compat = {};
  const auto& argument = probe.arguments[0];
  const auto add = [&](std::uint64_t number, std::string_view name) {
    if (number < into.native.size() * 64) into.native[number / 64] |= 1ULL << (number % 64);
    // The 32-bit calls have numbers of their own.
    const auto compat = vmipl::compat_system_call_number(name);
    if (compat && *compat < into.compat.size() * 64)
      into.compat[*compat / 64] |= 1ULL << (*compat % 64);
  };
  if (argument.kind == vmipl::ProbeArgument::number) {
    if (argument.number_value >= into.native.size() * 64)
      return Offer::refuse(fmt::format("there is no system call {}", argument.number_value));
    add(argument.number_value, vmipl::system_call_name(argument.number_value));
  } else {
    for (const auto& call : vmipl::system_calls()) {
      if (vmipl::glob_matches(argument.text_value, call.name)) add(call.number, call.name);
    }
    // Names that 32-bit programs alone have: "stat64", "socketcall".
    for (std::uint64_t number = 0; number < into.compat.size() * 64; ++number) {
      const auto name = vmipl::compat_system_call_name(number);
      if (!name.empty() && vmipl::glob_matches(argument.text_value, name))
        into.compat[number / 64] |= 1ULL << (number % 64);
    }
  }
  return std::nullopt;
}

std::optional<Offer> AgentPlanner::entries(AgentProbe& into, std::string& words) const {
  const auto native = symbol("entry_SYSCALL_64");
  if (!native) return Offer::refuse("this kernel has no symbol entry_SYSCALL_64");
  into.sites.push_back({*native, static_cast<std::uint64_t>(SyscallEntry::native), 0});
  words = "calls at entry_SYSCALL_64";
  std::optional<std::uint64_t> int80;
  if (const auto table = symbol("idt_table")) {
    std::array<std::byte, x86::kGateSize> bytes{};
    if (kernel_.memory().read(Gva{*table + 0x80 * x86::kGateSize}, bytes)) {
      if (const auto gate = x86::decode_gate(bytes); gate && gate->present && gate->dpl == 3)
        int80 = gate->handler.value;
    }
  }
  if (int80) into.sites.push_back({*int80, static_cast<std::uint64_t>(SyscallEntry::int80), 0});
  if (const auto at = symbol("entry_SYSENTER_compat"))
    into.sites.push_back({*at, static_cast<std::uint64_t>(SyscallEntry::sysenter), 0});
  if (const auto at = symbol("entry_SYSCALL_compat"))
    into.sites.push_back({*at, static_cast<std::uint64_t>(SyscallEntry::syscall32), 0});
  if (into.sites.size() > 1) words += " and the 32-bit entries";
  return std::nullopt;
}

std::optional<Offer> AgentPlanner::results(AgentProbe& into, std::string& words) const {
  constexpr std::uint64_t kRdi = 7;
  const auto status = offset_of(kernel_.types(), "task_struct.thread_info.status");
  if (const auto at = symbol("syscall_exit_to_user_mode"); at && status) {
    into.sites.push_back({*at, kRdi | ReturnSite::by_status, 0});
    into.offsets = {*status};
    words = "a call at syscall_exit_to_user_mode";
    return std::nullopt;
  }
  // From 6.19 on that is part of its callers: the result is taken where their ways come together
  // behind it. A new task begins in ret_from_fork, with the result of its parent's call, 0.
  constexpr std::int64_t kAx = 80;  // pt_regs.ax
  bool all_ways = true;
  for (const auto& [name, compat, kind] : {std::tuple{"do_syscall_64", false, StoredResult::rax},
                                           {"do_int80_emulation", true, StoredResult::rax},
                                           {"do_int80_syscall_32", true, StoredResult::rax},
                                           {"__do_fast_syscall_32", true, StoredResult::rax},
                                           {"do_SYSENTER_32", true, StoredResult::rax},
                                           {"ret_from_fork", false, StoredResult::constant}}) {
    const auto at = symbol(name);
    if (!at) continue;
    const auto size = reach_of(kernel_, Gva{*at});
    const auto join = find_result_join(kernel_.memory(), *at, size, kAx, kind);
    if (join && *join) {
      const bool fork = kind == StoredResult::constant;
      const std::uint64_t how = fork     ? std::uint64_t{ReturnSite::by_status}
                                : compat ? std::uint64_t{ReturnSite::compat}
                                         : 0;
      into.sites.push_back({(*join)->address, (*join)->reg | how, 0});
      continue;
    }
    const auto stores = find_result_stores(kernel_.memory(), *at, size, kAx, kind);
    if (!stores || kind == StoredResult::constant) continue;
    for (const auto& store : *stores) {
      all_ways = false;
      into.sites.push_back(
          {store.address,
           store.reg | ReturnSite::in_rax | (compat ? std::uint64_t{ReturnSite::compat} : 0), 0});
    }
  }
  if (into.sites.empty())
    return Offer::refuse(
        "where this kernel's system calls end was not found: no syscall_exit_to_user_mode, no "
        "store of a result in do_syscall_64");
  if (status) into.offsets = {*status};
  words = all_ways ? "calls where do_syscall_64 and its 32-bit kin have the result"
                   : "calls where do_syscall_64 and its 32-bit kin store the result: not of calls "
                     "that seccomp or a tracer refuses";
  return std::nullopt;
}

// ---- processes, modules

std::optional<Offer> AgentPlanner::life(std::string_view name, AgentProbe& into,
                                        std::string& words) const {
  const auto& types = kernel_.types();
  const auto at_first_of = [&](std::initializer_list<const char*> names) -> std::optional<Offer> {
    std::string tried;
    for (const auto* one : names) {
      if (const auto at = symbol(one)) {
        into.sites.push_back({*at, 0, 0});
        words = fmt::format("a call at {}", one);
        return std::nullopt;
      }
      tried += fmt::format("{}{}", tried.empty() ? "" : ", ", one);
    }
    return Offer::refuse(fmt::format("this kernel has no symbol {}", tried));
  };
  if (name == "ProcessStart") {
    into.event = AgentEvent::process_start;
    return at_first_of({"wake_up_new_task"});
  }
  if (name == "ProcessExec") {
    into.event = AgentEvent::process_exec;
    return at_first_of({"proc_exec_connector", "finalize_exec", "setup_new_exec"});
  }
  if (name == "ProcessExit") {
    into.event = AgentEvent::process_exit;
    for (const auto* path : {"task_struct.exit_code", "task_struct.signal", "signal_struct.flags",
                             "signal_struct.group_exit_code"}) {
      const auto offset = offset_of(types, path);
      if (!offset) {
        into.offsets.clear();
        break;
      }
      into.offsets.push_back(*offset);
    }
    return at_first_of({"taskstats_exit"});
  }
  const auto layout = linux::ModuleLayout::find(types);
  if (!layout) return Offer::refuse(layout.error().message);
  if (layout->memory) {
    const auto text = layout->memory->index[linux::kModuleText];
    const auto first = layout->memory->first + text * layout->memory->stride;
    into.offsets = {layout->name, first + layout->memory->base, first + layout->memory->size};
  } else {
    into.offsets = {layout->name, layout->core.base, layout->core.size};
  }
  if (name == "ModuleUnload") {
    into.event = AgentEvent::module_unload;
    return at_first_of({"free_module"});
  }
  into.event = AgentEvent::module_load;
  const auto load = symbol("do_init_module");
  if (!load) return Offer::refuse("this kernel has no symbol do_init_module");
  words = "calls at do_init_module and where it returns";
  return add_exits(*load, *load, true, into);
}

std::optional<Offer> AgentPlanner::vectors(const vmipl::ProgramProbe& probe, bool exceptions,
                                           AgentProbe& into, std::string& words) const {
  const auto table = symbol("idt_table");
  if (!table) return Offer::refuse("this kernel has no symbol idt_table");
  std::array<std::byte, x86::kGateSize * x86::kVectorCount> bytes{};
  if (!kernel_.memory().read(Gva{*table}, bytes))
    return Offer::refuse("the interrupt table cannot be read");
  std::map<std::uint64_t, unsigned> handlers;
  std::array<std::uint64_t, x86::kVectorCount> by_vector{};
  for (unsigned vector = 0; vector < x86::kVectorCount; ++vector) {
    const auto gate = x86::decode_gate(Bytes(bytes).subspan(vector * x86::kGateSize));
    if (!gate || !gate->present) continue;
    by_vector[vector] = gate->handler.value;
    ++handlers[gate->handler.value];
  }
  unsigned low = exceptions ? 0 : 32, high = exceptions ? 31 : 255;
  if (!probe.arguments.empty()) {
    low = high = static_cast<unsigned>(probe.arguments[0].number_value & 0xff);
    if (by_vector[low] == 0)
      return Offer::refuse(fmt::format("the kernel has no gate for vector {}", low));
    if (handlers[by_vector[low]] > 1)
      return Offer::refuse(fmt::format("vector {} shares its handler with others", low));
  }
  std::size_t shared = 0;
  for (unsigned vector = low; vector <= high; ++vector) {
    if (by_vector[vector] == 0) continue;
    if (handlers[by_vector[vector]] > 1)
      ++shared;
    else
      into.sites.push_back({by_vector[vector], vector, 0});
  }
  words = fmt::format("calls at the handlers of {} of the interrupt table",
                      plural(into.sites.size(), "gate"));
  if (shared != 0) words += fmt::format("; {} vectors share a handler and are not seen", shared);
  if (into.sites.empty()) return Offer::refuse("no gate of the interrupt table can be told apart");
  return std::nullopt;
}

std::optional<Offer> AgentPlanner::waits_for_module(const vmipl::ProgramProbe& probe,
                                                    Offer& offer) const {
  const auto of_module = followed_module(probe);
  if (!of_module) return std::nullopt;
  const std::string_view name = probe.arguments[0].text_value;
  const bool loaded = is_loaded(kernel_, *of_module);
  const auto place = place_named(kernel_, name, Takes::patterns);
  if (loaded && (place || place.error().code != Errc::not_found ||
                 !functions_named(kernel_, name, 1).empty()))
    return std::nullopt;
  if (const auto watch = module_watch(); !watch) return Offer::refuse(watch.error().message);
  // What a module starts by is gone once it has started.
  offer.waits =
      loaded ? fmt::format("the module {} has no {} now: nothing fires until it is loaded again",
                           of_module->module, of_module->pattern)
             : fmt::format("the module {} is not loaded: nothing fires until it is",
                           of_module->module);
  offer.mechanism =
      fmt::format("a call in the translated code, from the moment {} is loaded", of_module->module);
  return offer;
}

Outcome<AgentProbe> AgentPlanner::module_watch() const {
  AgentProbe watch;
  watch.probe = AgentProbe::kNone;
  watch.event = AgentEvent::module_watch;
  watch.held = true;
  const auto layout = TRY(linux::ModuleLayout::find(kernel_.types()));
  watch.offsets = {layout.name};
  const auto load = TRY(kernel_.symbol("do_init_module")),
             unload = TRY(kernel_.symbol("free_module"));
  const auto detail = [](ModuleStage stage) { return static_cast<std::uint64_t>(stage); };
  if (auto refused = add_exits(load.value, detail(ModuleStage::initialized), false, watch))
    return std::unexpected(Problem(Errc::unsupported, refused->reason));
  // What is only entered is no end of it.
  std::erase_if(watch.sites, [](const AgentSite& site) {
    return site.role != static_cast<std::uint64_t>(SiteRole::exit);
  });
  watch.sites.push_back({load.value, detail(ModuleStage::comes), 0});
  watch.sites.push_back({unload.value, detail(ModuleStage::goes), 0});
  return watch;
}

// ---- all together

std::optional<Offer> AgentPlanner::resolve(const vmipl::Program& program,
                                           const vmipl::ProgramProbe& probe, AgentProbe& into,
                                           Offer& offer) const {
  const auto name = vmipl::probes()[probe.probe].name;
  auto& words = offer.mechanism;
  const auto number = [&](std::uint64_t otherwise) {
    return probe.arguments.empty() ? otherwise : probe.arguments[0].number_value;
  };
  (void)program;
  const auto waiting = waits_for_module(probe, offer);
  if (waiting && !waiting->possible) return waiting;
  if (name == "ExecuteAt") {
    into.event = AgentEvent::execute;
    return waiting ? std::nullopt : code_sites(probe, into, words);
  }
  if (name == "Return") {
    into.event = AgentEvent::function_return;
    return waiting ? std::nullopt : return_sites(probe, into, words);
  }
  if (name == "ReadAt" || name == "WriteAt" || name == "AccessAt") {
    into.event = AgentEvent::access;
    into.param = name == "ReadAt" ? 1 : name == "WriteAt" ? 2 : 3;
    if (!waiting) return access_range(probe, into, offer);
    offer.cost = CostClass::every_access;
    return std::nullopt;
  }
  if (name == "IDTWrite" || name == "GDTWrite") {
    into.event = AgentEvent::table_write;
    offer.cost = CostClass::every_access;
    words = "a call at each write of the kernel's code";
    offer.reason = "by the address that the CPU uses; programs' code is not touched";
    return tables(name == "IDTWrite", into);
  }
  if (name == "Syscall" || name == "SyscallReturn") {
    into.event = name == "Syscall" ? AgentEvent::syscall : AgentEvent::syscall_return;
    if (auto refused = calls(probe, into)) return refused;
    return name == "Syscall" ? entries(into, words) : results(into, words);
  }
  if (name == "Interrupt" || name == "Exception") {
    into.event = AgentEvent::vector;
    return vectors(probe, name == "Exception", into, words);
  }
  if (name.starts_with("Process") || name.starts_with("Module")) return life(name, into, words);
  words = "a call at each such instruction, found as code is translated";
  if (name == "CRWrite") {
    into.event = AgentEvent::control_write;
    into.param = number(0);
    return std::nullopt;
  }
  if (name == "MSRWrite") {
    into.event = AgentEvent::msr_write;
    into.param = number(kAny);
    return std::nullopt;
  }
  if (name == "IDTRWrite" || name == "GDTRWrite") {
    into.event = name == "IDTRWrite" ? AgentEvent::idtr_write : AgentEvent::gdtr_write;
    into.param = kAny;
    return std::nullopt;
  }
  if (name == "PortRead" || name == "PortWrite") {
    into.event = name == "PortRead" ? AgentEvent::port_read : AgentEvent::port_write;
    into.param = number(0);
    return std::nullopt;
  }
  if (name == "Sample") {
    if ((agent_.can & Welcome::run_on_cpu) == 0)
      return Offer::refuse("this QEMU does not export async_run_on_cpu, by which a sample is taken",
                           "a QEMU that is built with modules, as Debian's is");
    into.event = AgentEvent::sample;
    into.param = number(1);
    words = "work queued on each virtual CPU by a timer";
    return std::nullopt;
  }
  if (name == "OnResume") {
    into.event = AgentEvent::resume;
    words = "QEMU's own word that a virtual CPU goes on";
    return std::nullopt;
  }
  return Offer::refuse(fmt::format("{} is no event of a virtual CPU", name));
}

AgentOffer AgentPlanner::look_at(const vmipl::Program& program, std::uint32_t index) const {
  AgentOffer result;
  const auto& probe = program.probes[index];
  result.probe.probe = index;
  result.offer.possible = true;
  result.offer.cost = CostClass::at_event;
  if (auto refused = resolve(program, probe, result.probe, result.offer)) {
    result.offer = std::move(*refused);
    return result;
  }
  const auto needs = block_needs(program, index);
  std::string why;
  if (needs.views) why = "views";
  if (needs.listed) why = "the list of processes";
  if (needs.host_data) why = "what the host reads";
  if (needs.control) why = "an action on the machine";
  if (needs.writes_memory || needs.writes_registers) why = "writes";
  if (needs.stacks) why = "stacks";
  // Names of code are the host's: the agent has no symbols.
  const auto event_symbol = [&] {
    const auto fields = vmipl::probes()[probe.probe].fields;
    return std::any_of(needs.fields.begin(), needs.fields.end(), [&](std::uint8_t field) {
      return field < fields.size() && fields[field].name == "symbol";
    });
  };
  if (needs.symbols || event_symbol()) why = "names of symbols";
  if (why.empty()) return result;
  if (result.probe.event == AgentEvent::resume && (agent_.can & Welcome::run_alone) != 0) {
    result.offer.reason = "all virtual CPUs stand while the host runs the block";
  } else if (result.probe.event == AgentEvent::resume || result.probe.event == AgentEvent::sample) {
    result.offer = Offer::refuse(
        fmt::format(
            "its block needs the host ({}), and QEMU's main loop would wait with the virtual CPU",
            why),
        "take a block that needs no host");
    return result;
  }
  result.probe.held = true;
  if (result.offer.cost == CostClass::at_event) result.offer.cost = CostClass::held;
  result.offer.reason +=
      fmt::format("{}its block needs the host: {}", result.offer.reason.empty() ? "" : "; ", why);
  return result;
}

}  // namespace vitrine::probe
