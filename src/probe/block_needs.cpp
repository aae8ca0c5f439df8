#include "probe/block_needs.h"

#include <fmt/format.h>

#include <algorithm>

#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

using vmipl::Opcode;

void add(std::vector<std::uint8_t>& into, std::int32_t index) {
  const auto value = static_cast<std::uint8_t>(index);
  if (std::find(into.begin(), into.end(), value) == into.end()) into.push_back(value);
}

void add_moment(BlockNeeds& needs, std::int32_t index) {
  add(needs.moments, index);
  const auto& moment = vmipl::moments()[static_cast<std::size_t>(index)];
  needs.stacks |= moment.type == vmipl::ValueType::stack;
  needs.moment |= (moment.carries & vmipl::Carries::moment) != 0;
  needs.arguments |= (moment.carries & vmipl::Carries::arguments) != 0;
  needs.result |= (moment.carries & vmipl::Carries::result) != 0;
}

void add_site(BlockNeeds& needs, const vmipl::Site& site) {
  const auto& action = vmipl::probes()[site.probe];
  needs.maps |= site.is_map_print;
  if (action.name == "ReadRegister") needs.register_values = true;
  if (action.name == "ReadMemory") needs.reads_memory = true;
  if (action.name == "ReadMemoryAt") needs.reads_memory = needs.register_values = true;
  if (action.name == "WriteRegister") needs.writes_registers = true;
  if (action.name == "WriteMemory") needs.writes_memory = true;
  if (action.name == "ProcessList" || action.name == "ReadVMCS") needs.host_data = true;
  if ((action.needs & vmipl::Needs::files) != 0) needs.host_data = true;
  if ((action.needs & vmipl::Needs::control) != 0 || action.name == "Stop") needs.control = true;
}

std::string number(std::uint64_t value, vmipl::ParamKind kind) {
  if (kind == vmipl::ParamKind::system_call) {
    if (const auto name = vmipl::system_call_name(value); !name.empty()) return std::string(name);
  }
  if (kind == vmipl::ParamKind::mac) {
    std::string out;
    for (int shift = 40; shift >= 0; shift -= 8)
      out += fmt::format("{}{:02x}", out.empty() ? "" : ":", value >> shift & 0xff);
    return out;
  }
  if (kind == vmipl::ParamKind::duration) {
    return value % 1'000'000'000 == 0 ? fmt::format("{}s", value / 1'000'000'000)
                                      : fmt::format("{}ms", value / 1'000'000);
  }
  return value < 4096 ? fmt::format("{}", value) : fmt::format("{:#x}", value);
}

}  // namespace

BlockNeeds block_needs(const vmipl::Program& program, std::uint32_t probe) {
  BlockNeeds needs;
  const auto& block = program.probes[probe];
  for (auto pc = block.entry; pc < block.end; ++pc) {
    const auto& at = program.code[pc];
    switch (at.op) {
      case Opcode::read:
      case Opcode::read_bits:
      case Opcode::read_text:
      case Opcode::read_bytes:
        needs.reads_memory = true;
        break;
      case Opcode::read_physical:
        needs.reads_physical = true;
        break;
      case Opcode::moment:
      case Opcode::moment_text:
        add_moment(needs, at.imm);
        break;
      case Opcode::event:
      case Opcode::event_text:
        add(needs.fields, at.imm);
        break;
      case Opcode::reg:
        needs.register_values = true;
        break;
      case Opcode::symbol:
        needs.symbols = true;
        break;
      case Opcode::per_cpu:
        needs.per_cpu = true;
        break;
      case Opcode::listed:
        needs.listed = true;
        break;
      case Opcode::view_open:
        needs.views = true;
        break;
      case Opcode::emit:
        add_site(needs, program.sites[static_cast<std::size_t>(at.imm)]);
        break;
      default: {
        const auto& op = vmipl::info(at.op);
        needs.maps |= op.b == vmipl::Place::map;
        break;
      }
    }
  }
  std::sort(needs.moments.begin(), needs.moments.end());
  std::sort(needs.fields.begin(), needs.fields.end());
  return needs;
}

std::string written(const vmipl::ProgramProbe& probe) {
  const auto& info = vmipl::probes()[probe.probe];
  std::string out(info.name);
  std::string arguments;
  std::size_t place = 0;
  for (const auto& argument : probe.arguments) {
    if (!arguments.empty()) arguments += ", ";
    switch (argument.kind) {
      case vmipl::ProbeArgument::number:
        arguments +=
            number(argument.number_value,
                   place < info.params.size() ? info.params[place].kind : vmipl::ParamKind::value);
        break;
      case vmipl::ProbeArgument::text:
        arguments += argument.text_value;
        break;
      case vmipl::ProbeArgument::symbol:
        arguments += argument.text_value;
        if (argument.number_value != 0) arguments += fmt::format("+{:#x}", argument.number_value);
        break;
      case vmipl::ProbeArgument::pattern:
        arguments += argument.text_value == "*" ? "*" : fmt::format("\"{}\"", argument.text_value);
        break;
    }
    ++place;
  }
  return arguments.empty() ? out : fmt::format("{}({})", out, arguments);
}

}  // namespace vitrine::probe
