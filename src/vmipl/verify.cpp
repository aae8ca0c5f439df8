// The verifier: all that the interpreter takes for granted.
#include <algorithm>

#include "vmipl/catalogue.h"
#include "vmipl/program.h"

namespace vitrine::vmipl {
namespace {

constexpr std::size_t kMaxTable = 65536;
constexpr std::size_t kMaxString = 1024 * 1024;

struct Verifier {
  const Program& program;
  std::optional<Refusal> refusal;

  bool refuse(std::string_view why, std::size_t where = 0) {
    if (!refusal) refusal = Refusal{why, where};
    return false;
  }

  bool operand(Operand operand, unsigned numbers, unsigned texts) const {
    if ((operand.bits & ~(Operand::kText | 0xff)) != 0) return false;
    return operand.index() < (operand.is_text() ? texts : numbers);
  }

  bool tables() {
    const auto& p = program;
    if (p.code.size() > kMaxCode || p.numbers.size() > kMaxTable * 4 ||
        p.texts.size() > kMaxTable || p.operands.size() > kMaxTable ||
        p.outputs.size() > kMaxTable || p.sites.size() > kMaxTable || p.probes.size() > kMaxTable ||
        p.views.size() > kMaxTable || p.relocations.size() > kMaxTable ||
        p.symptoms.size() > kMaxTable || p.settings.size() > 64 || p.maps.size() > kMaxMaps) {
      return refuse("a table is too large");
    }
    for (std::size_t i = 0; i < p.texts.size(); ++i) {
      if (p.texts[i].size() > kMaxString) return refuse("a text is too large", i);
    }
    for (std::size_t i = 0; i < p.maps.size(); ++i) {
      const auto& map = p.maps[i];
      if (map.keys.size() > kMaxKeys) return refuse("a map has too many keys", i);
      for (const auto key : map.keys) {
        if (key > ValueType::stack) return refuse("a map's key has no such type", i);
      }
      if (map.value > ValueType::stack || map.aggregate > Aggregate::linear)
        return refuse("a map's value has no such type", i);
      if (map.aggregate != Aggregate::none && is_textual(map.value))
        return refuse("texts are not aggregated", i);
      if (map.aggregate == Aggregate::linear) {
        std::int64_t range = 0;
        if (map.step <= 0 || map.high <= map.low ||
            __builtin_sub_overflow(map.high, map.low, &range) || range / map.step > 1000)
          return refuse("a map's steps make no sense", i);
      }
    }
    for (std::size_t i = 0; i < p.symptoms.size(); ++i) {
      if (p.symptoms[i].severity >= severities().size())
        return refuse("there is no such severity", i);
    }
    for (std::size_t i = 0; i < p.settings.size(); ++i) {
      if (p.settings[i].key >= configuration_keys().size())
        return refuse("there is no such configuration key", i);
      if (configuration_keys()[p.settings[i].key].kind == KeyKind::reg &&
          p.settings[i].value >= registers().size())
        return refuse("there is no such register", i);
    }
    for (std::size_t i = 0; i < p.views.size(); ++i) {
      if (p.views[i].columns.size() != p.views[i].types.size() || p.views[i].columns.size() > 1024)
        return refuse("a view's columns and types differ in number", i);
      for (const auto type : p.views[i].types) {
        if (type > ValueType::stack) return refuse("a column has no such type", i);
      }
    }
    for (std::size_t i = 0; i < p.relocations.size(); ++i) {
      const auto& relocation = p.relocations[i];
      if (relocation.kind > Relocation::text_size) return refuse("there is no such relocation", i);
      const std::size_t count = relocation.kind == Relocation::bits ? 3 : 1;
      if (relocation.number > p.numbers.size() || p.numbers.size() - relocation.number < count)
        return refuse("a relocation leaves the pool", i);
    }
    return true;
  }

  // A site is reached from probes of different sizes: operands are checked per use.
  bool site(const Site& site, unsigned numbers, unsigned texts, std::size_t at) {
    const auto all = probes();
    if (site.probe >= all.size()) return refuse("there is no such action", at);
    const auto& probe = all[site.probe];
    const bool is_stop = probe.name == "Stop";
    if (probe.kind != ProbeKind::data && probe.kind != ProbeKind::action && !is_stop)
      return refuse("a site is neither a data probe nor an action", at);
    if (site.output != Site::kStandard && site.output >= program.outputs.size())
      return refuse("there is no such output", at);
    if (site.types.size() != site.operands.size() || site.operands.size() > 255)
      return refuse("a site's operands and types differ in number", at);
    for (std::size_t i = 0; i < site.operands.size(); ++i) {
      if (!operand(site.operands[i], numbers, texts))
        return refuse("a site's operand is no register", at);
      if (site.types[i] > ValueType::stack ||
          is_textual(site.types[i]) != site.operands[i].is_text())
        return refuse("a site's operand has another type", at);
    }
    const auto numeric_operands = [&](std::size_t count) {
      return site.operands.size() == count &&
             std::none_of(site.operands.begin(), site.operands.end(),
                          [](Operand o) { return o.is_text(); });
    };
    const auto fields = [&](std::size_t most) {
      return !site.numbers.empty() && site.numbers.size() <= most &&
             std::all_of(site.numbers.begin(), site.numbers.end(),
                         [&](std::uint64_t n) { return n < most; });
    };
    const auto reg = [&] {
      return site.numbers.size() == 1 && site.numbers[0] < registers().size();
    };
    if (site.is_map_print) {
      if (probe.name != "Print" || site.numbers.empty() || site.numbers.size() > 2 ||
          site.numbers[0] >= program.maps.size() || !site.operands.empty())
        return refuse("a map is not printed this way", at);
      return true;
    }
    bool good = true;
    if (probe.name == "Print")
      good = site.numbers.empty();
    else if (probe.name == "Report")
      good = site.numbers.size() == 1 && site.numbers[0] < severities().size();
    else if (probe.name == "ReadRegister")
      good = reg() && site.operands.empty();
    else if (probe.name == "ReadMemory")
      good = site.numbers.empty() && numeric_operands(2);
    else if (probe.name == "ReadMemoryAt")
      good = reg() && numeric_operands(2);
    else if (probe.name == "ProcessList")
      good = fields(process_list_fields().size()) && site.operands.empty();
    else if (probe.name == "ReadVMCS")
      good = fields(vmcs_fields().size()) && site.operands.empty();
    else if (probe.name == "WriteRegister")
      good = reg() && numeric_operands(1);
    else if (probe.name == "WriteMemory") {
      good = site.operands.size() == 2 && !site.operands[0].is_text() && site.numbers.size() == 1;
      if (good) {
        const auto width = site.numbers[0];
        good = site.operands[1].is_text() ? width == 0
                                          : width == 1 || width == 2 || width == 4 || width == 8;
      }
    } else if (probe.name == "DumpProcess" || probe.name == "Throttle" || probe.name == "Kill")
      good = numeric_operands(1) && site.numbers.empty();
    else
      good = site.operands.empty() && site.numbers.empty();
    return good || refuse("an action is not called this way", at);
  }

  bool instruction(std::uint32_t pc, const ProgramProbe& probe) {
    const auto& at = program.code[pc];
    if (at.op >= Opcode::count_) return refuse("there is no such opcode", pc);
    const auto& op = info(at.op);
    const auto place = [&](Place kind, std::uint8_t value) {
      switch (kind) {
        case Place::none:
          return value == 0;
        case Place::n:
          return value < probe.numbers;
        case Place::t:
          return value < probe.texts;
        case Place::bits:
          return value >= 1 && value <= 64;
        case Place::width: {
          const unsigned bytes = value & 0x7fU;
          return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
        }
        case Place::map:
          return value < program.maps.size();
        case Place::count:
          return value <= kMaxKeys;
        case Place::slot:
          return value < kMaxViewSlots;
        default:
          return false;
      }
    };
    if (!place(op.a, at.a) || !place(op.b, at.b) || !place(op.c, at.c))
      return refuse("an operand is outside of its file or table", pc);
    const auto imm = static_cast<std::uint32_t>(at.imm);
    bool good = at.imm >= 0;
    switch (op.imm) {
      case Place::none:
        good = at.imm == 0;
        break;
      case Place::number:
        good = good && imm < program.numbers.size();
        break;
      case Place::text:
        good = good && imm < program.texts.size();
        break;
      // A jump lands on an instruction of this probe: its last is a halt.
      case Place::code:
        good = good && imm >= probe.entry && imm < probe.end;
        break;
      case Place::bits3: {
        good = good && imm < program.numbers.size() && program.numbers.size() - imm >= 3;
        if (good) {
          const auto first = program.numbers[imm + 1];
          const auto width = program.numbers[imm + 2] & ~0x100ULL;
          good = first <= 7 && width >= 1 && width <= 64 && first + width <= 64;
        }
        break;
      }
      case Place::moment:
        good = good && imm < moments().size();
        if (good) {
          good = is_textual(moments()[imm].type) == (op.a == Place::t) &&
                 (moments()[imm].carries & ~probes()[probe.probe].carries) == 0;
        }
        break;
      case Place::field: {
        const auto fields = probes()[probe.probe].fields;
        good = good && imm < fields.size();
        if (good) good = is_textual(fields[imm].type) == (op.a == Place::t);
        break;
      }
      case Place::reg:
        good = good && imm < registers().size();
        break;
      case Place::operands: {
        good = good && (at.c == 0 ||
                        (imm < program.operands.size() && program.operands.size() - imm >= at.c));
        if (!good) break;
        const auto& map = program.maps[at.b];
        if (map.keys.size() != at.c) return refuse("a map is used with another number of keys", pc);
        for (std::uint32_t i = 0; i < at.c; ++i) {
          const auto key = program.operands[imm + i];
          if (!operand(key, probe.numbers, probe.texts) || key.is_text() != is_textual(map.keys[i]))
            return refuse("a map's key has another type", pc);
        }
        const bool text_map = is_textual(map.value);
        if (at.op == Opcode::map_get) good = !text_map && map.aggregate < Aggregate::stats;
        if (at.op == Opcode::map_set || at.op == Opcode::map_add)
          good = !text_map && map.aggregate == Aggregate::none;
        if (at.op == Opcode::map_get_text || at.op == Opcode::map_set_text) good = text_map;
        if (at.op == Opcode::map_update) good = map.aggregate != Aggregate::none;
        if (!good) return refuse("a map's value has another type", pc);
        break;
      }
      case Place::view:
        good = good && imm < program.views.size();
        break;
      case Place::column: {
        // Which view the slot holds is known by the last view_open of that slot before here.
        good = false;
        for (auto back = pc; back > probe.entry; --back) {
          const auto& open = program.code[back - 1];
          if (open.op != Opcode::view_open || open.a != at.b) continue;
          const auto use = static_cast<std::uint32_t>(open.imm);
          if (open.imm >= 0 && use < program.views.size() && at.imm >= 0 &&
              imm < program.views[use].types.size()) {
            good = is_textual(program.views[use].types[imm]) == (op.a == Place::t);
          }
          break;
        }
        break;
      }
      case Place::site:
        good = good && imm < program.sites.size() &&
               site(program.sites[imm], probe.numbers, probe.texts, pc);
        break;
      default:
        good = false;
        break;
    }
    if (!good) return refuse("an immediate is outside of its table", pc);
    return true;
  }

  bool run() {
    if (!tables()) return false;
    std::uint32_t before = 0;
    std::size_t slots_scanned = 0;
    for (std::size_t i = 0; i < program.probes.size(); ++i) {
      const auto& probe = program.probes[i];
      if (probe.probe >= probes().size()) return refuse("there is no such probe", i);
      const auto kind = probes()[probe.probe].kind;
      if (kind != ProbeKind::event && kind != ProbeKind::stream)
        return refuse("a probe is neither an event nor a stream", i);
      if (probe.arguments.size() > 8) return refuse("a probe has too many arguments", i);
      for (const auto& argument : probe.arguments) {
        if (argument.kind > ProbeArgument::pattern || argument.text_value.size() > kMaxString)
          return refuse("there is no such kind of argument", i);
      }
      if (probe.numbers > kMaxNumbers || probe.texts > kMaxTexts)
        return refuse("a probe has too many registers", i);
      if (probe.output != Site::kStandard && probe.output >= program.outputs.size())
        return refuse("there is no such output", i);
      if (probe.entry < before || probe.end < probe.entry || probe.end > program.code.size())
        return refuse("a probe's code overlaps or leaves the program", i);
      before = probe.end;
      if (kind == ProbeKind::stream) {
        if (probe.entry != probe.end) return refuse("a stream has code", i);
        continue;
      }
      if (probe.entry == probe.end || program.code[probe.end - 1].op != Opcode::halt)
        return refuse("a probe's code does not end", i);
      for (auto pc = probe.entry; pc < probe.end; ++pc) {
        if (program.code[pc].op == Opcode::column || program.code[pc].op == Opcode::column_text) {
          // Looking back for the view makes this quadratic: bounded for forged programs.
          slots_scanned += pc - probe.entry;
          if (slots_scanned > 50'000'000) return refuse("too many columns are looked at", pc);
        }
        if (!instruction(pc, probe)) return false;
      }
      // Which view a slot holds must not depend on the way taken: no jump leads past a view_open
      // of a slot to a column of it. The interpreter checks the column's index and type again, for
      // the slot it really has, so this is no matter of safety.
    }
    return true;
  }
};

}  // namespace

std::optional<Refusal> verify(const Program& program) {
  Verifier verifier{program, {}};
  (void)verifier.run();
  return verifier.refusal;
}

}  // namespace vitrine::vmipl
