#include "probe/gdb/placement.h"

#include <fmt/format.h>

#include <initializer_list>

#include "probe/block_needs.h"
#include "probe/code_places.h"
#include "probe/named_places.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

constexpr std::size_t kMostSpots = 256;  // of one pattern: each is a stop of the whole machine
constexpr const char* kAgent = "start the machine with the agent (vitrine qemu-args)";

Placed refused(std::string reason, std::string remedy = kAgent) {
  return {Offer::refuse(std::move(reason), std::move(remedy)), {}};
}

std::optional<Gva> first_of(const linux::Kernel& kernel, std::initializer_list<const char*> names) {
  for (const auto* name : names) {
    if (const auto at = kernel.symbol(name)) return *at;
  }
  return std::nullopt;
}

Outcome<std::vector<Gva>> addresses(const linux::Kernel& kernel,
                                    const vmipl::ProbeArgument& argument, Takes takes) {
  std::vector<Gva> out;
  switch (argument.kind) {
    case vmipl::ProbeArgument::number:
      out.push_back(Gva{argument.number_value});
      break;
    case vmipl::ProbeArgument::symbol: {
      out.push_back(TRY(place_named(kernel, argument.text_value, takes)) + argument.number_value);
      break;
    }
    case vmipl::ProbeArgument::pattern:
    case vmipl::ProbeArgument::text: {
      const auto& symbols = kernel.symbols();
      for (std::size_t i = 0; i < symbols.size(); ++i) {
        const auto symbol = symbols.at(i);
        if (!is_code(symbol.type) || !vmipl::glob_matches(argument.text_value, symbol.name))
          continue;
        if (out.empty() || out.back() != symbol.address) out.push_back(symbol.address);
        if (out.size() > kMostSpots) break;
      }
      break;
    }
  }
  if (out.empty())
    return std::unexpected(Problem(
        Errc::not_found, fmt::format("no function of the kernel fits {}", argument.text_value)));
  if (out.size() > kMostSpots)
    return std::unexpected(
        Problem(Errc::too_large,
                fmt::format("{} fits more than {} functions, and each stops the whole machine",
                            argument.text_value, kMostSpots)));
  return out;
}

/// A place of the kernel that is mapped; or of programs, which may map it later.
std::optional<Placed> unmapped(const linux::Kernel& kernel, Gva at) {
  if (at.value >> 63 == 0 || kernel.memory().translate(at)) return std::nullopt;
  return refused(fmt::format("the kernel has nothing mapped at {:#x}", at.value),
                 "vitrine sym VM NAME tells where a symbol is");
}

/// For the reason of a place below the kernel.
std::string of_programs(Gva at) {
  return at.value >> 63 != 0 ? std::string()
                             : "an address of programs: in each that has something there";
}

Placed at_spots(std::vector<StopSpot> spots, std::string mechanism, std::string reason = {}) {
  Placed placed;
  placed.offer = {true, CostClass::stop, Coverage::every, std::move(mechanism), std::move(reason),
                  {}};
  placed.placement.spots = std::move(spots);
  return placed;
}

/// The function that does a system call, by the kernel's own table: the name misleads (stat is done
/// by __x64_sys_newstat, and __x64_sys_stat is there for nobody). Nothing if what stands there is
/// no function of the kernel that does one call alone.
std::optional<Gva> handler_of(const linux::Kernel& kernel, std::uint64_t number) {
  const auto table = kernel.symbols().find("sys_call_table");
  if (!table) return std::nullopt;
  const auto at = kernel.memory().load<std::uint64_t>(*table + number * 8);
  if (!at) return std::nullopt;
  const auto symbol = kernel.symbols().nearest(Gva{*at});
  if (!symbol || symbol->address != Gva{*at} || symbol->name.ends_with("sys_ni_syscall"))
    return std::nullopt;
  return symbol->address;
}

/// The functions that do the calls meant, where each has one: then no other call stops the machine.
/// Empty: all calls are meant, or one of them has no function of its own.
std::vector<Gva> handlers_of(const linux::Kernel& kernel, const vmipl::ProgramProbe& probe) {
  std::vector<Gva> out;
  if (probe.arguments.empty()) return out;
  for (const auto& call : vmipl::system_calls()) {
    if (!wants_system_call(probe, call.number)) continue;
    const auto at = handler_of(kernel, call.number);
    if (!at || out.size() >= 32) return {};
    out.push_back(*at);
  }
  return out;
}

Placed at_function(const linux::Kernel& kernel, std::initializer_list<const char*> names,
                   StopRole role) {
  const auto at = first_of(kernel, names);
  if (!at) return refused(fmt::format("this kernel has no symbol {}", *names.begin()));
  return at_spots({{*at, role}},
                  fmt::format("breakpoint at {}", linux::symbolize(kernel.symbols(), *at)));
}

}  // namespace

Placed place(const linux::Kernel& kernel, const vmipl::Program& program, std::uint32_t index) {
  const auto& probe = program.probes[index];
  const auto& name = vmipl::probes()[probe.probe].name;
  const auto needs = block_needs(program, index);
  if (needs.stacks && name != "ExecuteAt" && name != "Return")
    return refused("a stack is told at functions only, here");
  if (followed_module(probe))
    return refused("breakpoints do not follow a module that comes and goes",
                   "start the machine with the agent (vitrine qemu-args); while the module is "
                   "loaded, its symbol's plain name will do");
  if (name == "ExecuteAt" || name == "Return") {
    auto found = addresses(kernel, probe.arguments.at(0), Takes::patterns);
    if (!found) return refused(found.error().message, found.error().hint);
    std::vector<StopSpot> spots;
    for (const auto at : *found) {
      if (auto nothing = unmapped(kernel, at)) return *std::move(nothing);
      if (name == "Return" && never_returns(kernel, at))
        return refused(kNeverReturns, "ExecuteAt fires where it begins");
      spots.push_back({at, name == "Return" ? StopRole::function_return : StopRole::execute});
    }
    auto words = spots.size() == 1 ? fmt::format("breakpoint at {}",
                                                 linux::symbolize(kernel.symbols(), spots[0].at))
                                   : fmt::format("{} breakpoints", spots.size());
    if (name == "Return") words += " and where it returns to";
    auto reason = of_programs(spots.front().at);
    return at_spots(std::move(spots), std::move(words), std::move(reason));
  }
  if (name == "ReadAt" || name == "WriteAt" || name == "AccessAt") {
    auto found = addresses(kernel, probe.arguments.at(0), Takes::one_place);
    if (!found) return refused(found.error().message, found.error().hint);
    Placed placed;
    const auto length = probe.arguments.size() > 1 ? probe.arguments[1].number_value : 1;
    if (length > 4096)
      return refused(fmt::format(
          "a gdbstub's watchpoint of {} bytes slows every access of the guest", length));
    for (const auto at : {found->front(), found->front() + (length - 1)}) {
      if (auto nothing = unmapped(kernel, at)) return *std::move(nothing);
    }
    placed.placement.watch = WatchSpot{found->front(), length, name != "WriteAt", name != "ReadAt"};
    placed.offer = {true,
                    CostClass::stop,
                    Coverage::every,
                    fmt::format("watchpoint on {} bytes", length),
                    "stops after the access; its size is not told, and of more than 8 bytes where "
                    "it went only if it changed something",
                    {}};
    return placed;
  }
  // A block that asks for registers means those of the program, which stand at the entry alone.
  if ((name == "Syscall" && !needs.register_values && !needs.writes_registers) ||
      name == "SyscallReturn") {
    std::vector<StopSpot> spots;
    for (const auto at : handlers_of(kernel, probe))
      spots.push_back({at, name == "Syscall" ? StopRole::handler : StopRole::handler_return});
    if (!spots.empty()) {
      auto words = fmt::format("breakpoint at {}", linux::symbolize(kernel.symbols(), spots[0].at));
      if (spots.size() > 1) words += fmt::format(" and {} more", spots.size() - 1);
      if (name == "SyscallReturn") words += ", and where it returns to";
      return at_spots(std::move(spots), std::move(words), "64-bit calls only");
    }
  }
  if (name == "Syscall") {
    const auto at = first_of(kernel, {"entry_SYSCALL_64"});
    if (!at) return refused("this kernel has no symbol entry_SYSCALL_64");
    return at_spots({{*at, StopRole::syscall}}, "breakpoint at entry_SYSCALL_64",
                    "64-bit calls only; every call stops the machine, whatever its number");
  }
  if (name == "SyscallReturn") {
    const auto at = first_of(kernel, {"do_syscall_64"});
    if (!at) return refused("this kernel has no symbol do_syscall_64");
    return at_spots({{*at, StopRole::syscall_return}},
                    "breakpoints at do_syscall_64 and where it returns to",
                    "64-bit calls only; every call stops the machine, whatever its number");
  }
  if (name == "ProcessStart")
    return at_function(kernel, {"wake_up_new_task"}, StopRole::process_start);
  if (name == "ProcessExec")
    return at_function(kernel, {"proc_exec_connector", "finalize_exec"}, StopRole::process_exec);
  if (name == "ProcessExit") return at_function(kernel, {"taskstats_exit"}, StopRole::process_exit);
  if (name == "ModuleLoad") return at_function(kernel, {"do_init_module"}, StopRole::module_load);
  if (name == "ModuleUnload") return at_function(kernel, {"free_module"}, StopRole::module_unload);
  if (vmipl::probes()[probe.probe].kind == vmipl::ProbeKind::stream)
    return refused("a gdbstub sees no streams", {});
  if (name == "Start" || name == "Stop" || name == "Every" || name == "OnExternalRequest")
    return refused("of the host's clock, not of the machine", {});
  return refused(fmt::format("a gdbstub stops at instructions and at memory, not at {}", name));
}

bool wants_system_call(const vmipl::ProgramProbe& probe, std::uint64_t number) {
  if (probe.arguments.empty()) return true;
  const auto& argument = probe.arguments[0];
  if (argument.kind == vmipl::ProbeArgument::number) return argument.number_value == number;
  const auto name = vmipl::system_call_name(number);
  return !name.empty() && vmipl::glob_matches(argument.text_value, name);
}

}  // namespace vitrine::probe
