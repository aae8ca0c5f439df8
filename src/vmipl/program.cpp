// What a program is made of: opcodes by name, a listing, binding to a kernel.
#include "vmipl/program.h"

#include <fmt/format.h>

#include "vmipl/catalogue.h"

namespace vitrine::vmipl {
namespace {

constexpr OpcodeInfo kOpcodes[] = {
#define X(name, a, b, c, imm) {#name, Place::a, Place::b, Place::c, Place::imm},
    VITRINE_OPCODES(X)
#undef X
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + '"';
}

}  // namespace

const OpcodeInfo& info(Opcode opcode) noexcept {
  const auto index = static_cast<std::size_t>(opcode);
  return kOpcodes[index < std::size(kOpcodes) ? index : 0];
}

std::string_view name(Aggregate aggregate) noexcept {
  constexpr std::string_view kNames[] = {"none", "count", "sum",       "min",   "max",
                                         "avg",  "stats", "histogram", "linear"};
  const auto index = static_cast<std::size_t>(aggregate);
  return index < std::size(kNames) ? kNames[index] : "?";
}

std::string list(const Program& program) {
  std::string out;
  const auto output = [&](std::uint16_t index) -> std::string {
    if (index == Site::kStandard || index >= program.outputs.size()) return {};
    return fmt::format(" to {}{}", program.outputs[index].channel ? "#" : "",
                       program.outputs[index].name);
  };
  const auto operands = [&](std::size_t start, std::size_t count) {
    std::string text;
    for (std::size_t i = start; i < start + count && i < program.operands.size(); ++i) {
      text += fmt::format("{}{}{}", text.empty() ? "" : ", ",
                          program.operands[i].is_text() ? 't' : 'n', program.operands[i].index());
    }
    return text;
  };
  for (const auto& setting : program.settings) {
    out +=
        fmt::format("setting {}: {:#x}\n", configuration_keys()[setting.key].name, setting.value);
  }
  for (const auto& symptom : program.symptoms) {
    out += fmt::format("symptom {}: {} {} {}\n", symptom.name, severities()[symptom.severity],
                       quoted(symptom.technique), quoted(symptom.text));
  }
  for (std::size_t i = 0; i < program.maps.size(); ++i) {
    const auto& map = program.maps[i];
    out += fmt::format("map {} @{}[", i, map.name);
    for (std::size_t k = 0; k < map.keys.size(); ++k)
      out += fmt::format("{}{}", k == 0 ? "" : ", ", name(map.keys[k]));
    out += fmt::format("] = {}", map.aggregate == Aggregate::none
                                     ? ""
                                     : fmt::format("{} of ", name(map.aggregate)));
    out += fmt::format("{}", name(map.value));
    if (map.aggregate == Aggregate::linear)
      out += fmt::format(" from {} to {} by {}", map.low, map.high, map.step);
    out += '\n';
  }
  for (const auto& probe : program.probes) {
    out += fmt::format("{}", probes()[probe.probe].name);
    std::string args;
    for (const auto& argument : probe.arguments) {
      if (!args.empty()) args += ", ";
      switch (argument.kind) {
        case ProbeArgument::number:
          args += fmt::format("{:#x}", argument.number_value);
          break;
        case ProbeArgument::text:
          args += argument.text_value;
          break;
        case ProbeArgument::symbol:
          args += argument.number_value == 0
                      ? argument.text_value
                      : fmt::format("{}+{:#x}", argument.text_value, argument.number_value);
          break;
        case ProbeArgument::pattern:
          args += quoted(argument.text_value);
          break;
      }
    }
    if (!args.empty()) out += fmt::format("({})", args);
    out += output(probe.output);
    if (!probe.symptom.empty()) out += fmt::format(" of {}", probe.symptom);
    out += fmt::format(" line {}", probe.line);
    if (probe.entry != probe.end)
      out += fmt::format(", {} numbers, {} texts", probe.numbers, probe.texts);
    out += '\n';
    for (auto pc = probe.entry; pc < probe.end && pc < program.code.size(); ++pc) {
      const auto& at = program.code[pc];
      const auto& op = info(at.op);
      std::string line = fmt::format("  {:4} {}", pc, op.name);
      const auto place = [&](Place kind, std::uint8_t value) {
        switch (kind) {
          case Place::n:
            line += fmt::format(" n{}", value);
            break;
          case Place::t:
            line += fmt::format(" t{}", value);
            break;
          case Place::bits:
            line += fmt::format(" {} bits", value);
            break;
          case Place::width:
            line += fmt::format(" {}{}", (value & 0x80) != 0 ? 's' : 'u', (value & 0x7f) * 8);
            break;
          case Place::map:
            line +=
                value < program.maps.size() ? fmt::format(" @{}", program.maps[value].name) : " ?";
            break;
          case Place::slot:
            line += fmt::format(" row{}", value);
            break;
          default:
            break;
        }
      };
      place(op.a, at.a);
      place(op.b, at.b);
      place(op.c, at.c);
      const auto imm = static_cast<std::size_t>(at.imm);
      switch (op.imm) {
        case Place::number:
        case Place::bits3: {
          line += fmt::format(" {:#x}", imm < program.numbers.size() ? program.numbers[imm] : 0);
          if (op.imm == Place::bits3 && imm + 2 < program.numbers.size())
            line += fmt::format(":{}+{}", program.numbers[imm + 1], program.numbers[imm + 2]);
          for (const auto& relocation : program.relocations) {
            if (relocation.number == imm)
              line += fmt::format(
                  " ({}{})", relocation.name,
                  relocation.addend == 0 ? "" : fmt::format("+{:#x}", relocation.addend));
          }
          break;
        }
        case Place::text:
          line += ' ' + (imm < program.texts.size() ? quoted(program.texts[imm]) : "?");
          break;
        case Place::code:
          line += fmt::format(" -> {}", at.imm);
          break;
        case Place::moment: {
          const auto& moment = moments()[imm];
          line += moment.group.empty() ? fmt::format(" {}", moment.name)
                                       : fmt::format(" {}.{}", moment.group, moment.name);
          break;
        }
        case Place::field:
          line += fmt::format(" event.{}", imm < probes()[probe.probe].fields.size()
                                               ? probes()[probe.probe].fields[imm].name
                                               : "?");
          break;
        case Place::reg:
          line += fmt::format(" {}", registers()[imm].name);
          break;
        case Place::operands:
          line += fmt::format(" [{}]", operands(imm, at.c));
          break;
        case Place::view:
          line += ' ' + (imm < program.views.size() ? program.views[imm].view : "?");
          break;
        case Place::column:
          line += fmt::format(" column {}", imm);
          break;
        case Place::site:
          if (imm < program.sites.size()) {
            const auto& site = program.sites[imm];
            line += site.is_map_print
                        ? fmt::format(" print @{}",
                                      program.maps[static_cast<std::size_t>(site.numbers[0])].name)
                        : fmt::format(" {}", probes()[site.probe].name);
            if (!site.symptom.empty())
              line += fmt::format(" {} {}", site.symptom,
                                  site.numbers.empty()
                                      ? "?"
                                      : severities()[static_cast<std::size_t>(site.numbers[0])]);
            if (!site.format.empty()) line += ' ' + quoted(site.format);
            if (site.symptom.empty() && !site.is_map_print) {
              for (const auto number : site.numbers) line += fmt::format(" {}", number);
            }
            for (std::size_t i = 0; i < site.operands.size(); ++i) {
              line += fmt::format("{} {}{}:{}", i == 0 ? "" : ",",
                                  site.operands[i].is_text() ? 't' : 'n', site.operands[i].index(),
                                  name(site.types[i]));
            }
            line += output(site.output);
          }
          break;
        default:
          break;
      }
      out += line + '\n';
    }
  }
  for (const auto& view : program.views) {
    out += fmt::format("view {}: {}\n", view.view, fmt::join(view.columns, " "));
  }
  if (program.fixed) out += "fixed to this kernel\n";
  return out;
}

bool bind(Program& program, const Ports& ports, std::vector<std::string>& problems) {
  const auto before = problems.size();
  for (const auto& relocation : program.relocations) {
    if (relocation.kind == Relocation::symbol) {
      const auto address =
          ports.symbols != nullptr ? ports.symbols->find(relocation.name) : std::nullopt;
      if (!address)
        problems.push_back(fmt::format("this kernel has no symbol {}", relocation.name));
      else
        program.numbers[relocation.number] = *address + relocation.addend;
      continue;
    }
    if (ports.types == nullptr) {
      problems.push_back(fmt::format("this kernel's types are unknown: {}", relocation.name));
      continue;
    }
    // "struct task_struct.mm.x": a type, then members.
    std::string_view rest = relocation.name;
    auto dot = rest.find('.');
    auto type = ports.types->find(rest.substr(0, dot));
    if (!type) {
      problems.push_back(fmt::format("this kernel has no type {}", rest.substr(0, dot)));
      continue;
    }
    std::uint64_t bits = 0;
    std::uint8_t width = 0;
    bool found = true;
    while (dot != std::string_view::npos) {
      rest.remove_prefix(dot + 1);
      dot = rest.find('.');
      const auto member = ports.types->member(*type, rest.substr(0, dot));
      if (!member) {
        problems.push_back(fmt::format("{} has no member {} in this kernel",
                                       ports.types->shape(*type).name, rest.substr(0, dot)));
        found = false;
        break;
      }
      bits += member->offset_bits;
      width = member->bit_width;
      type = member->type;
    }
    if (!found) continue;
    const auto shape = ports.types->shape(*type);
    auto* numbers = &program.numbers[relocation.number];
    const auto changed = [&] {
      problems.push_back(fmt::format("{} has another type in this kernel: build the script anew",
                                     relocation.name));
    };
    switch (relocation.kind) {
      case Relocation::symbol:
        break;
      case Relocation::member:
        if (width != 0 || (relocation.width != 0 && (shape.size != relocation.width ||
                                                     shape.is_signed != relocation.is_signed)))
          changed();
        else
          numbers[0] = bits / 8;
        break;
      case Relocation::bits:
        if (width == 0 || width > 64 || bits % 8 + width > 64 ||
            shape.is_signed != relocation.is_signed) {
          changed();
        } else {
          numbers[0] = bits / 8;
          numbers[1] = bits % 8;
          numbers[2] = width | (shape.is_signed ? 0x100U : 0U);
        }
        break;
      case Relocation::type_size:
        numbers[0] = shape.size;
        break;
      case Relocation::text_size:
        if (shape.kind != GuestKind::array || shape.size == 0)
          changed();
        else
          numbers[0] = shape.size < kMaxTextBytes ? shape.size : kMaxTextBytes;
        break;
    }
  }
  return problems.size() == before;
}

}  // namespace vitrine::vmipl
