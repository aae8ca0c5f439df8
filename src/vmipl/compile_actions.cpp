// Actions and data probes: their arguments, registers, outputs.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmipl/compiler.h"

namespace vitrine::vmipl {

std::uint8_t probe_index(const ProbeInfo& probe) {
  const auto all = probes();
  if (&probe >= all.data() && &probe < all.data() + all.size())
    return static_cast<std::uint8_t>(&probe - all.data());
  return static_cast<std::uint8_t>(find_probe(probe.name) - all.data());  // Stop, the action
}

bool Compiler::count_arguments(const ProbeInfo& probe, Span name, const std::vector<ExprId>& args) {
  std::size_t least = 0, most = 0;
  for (const auto& param : probe.params) {
    if (!param.optional) ++least;
    most = param.repeated ? SIZE_MAX : most == SIZE_MAX ? SIZE_MAX : most + 1;
  }
  if (args.size() >= least && args.size() <= most) return true;
  // What is missing is most often the output.
  const bool output_missing = args.size() + 1 == least && !probe.params.empty() &&
                              probe.params.back().kind == ParamKind::output &&
                              (args.empty() || script_.at(args.back()).kind != Expr::Kind::output);
  const Span span = args.empty() ? name : name.to(script_.at(args.back()).span);
  if (output_missing) {
    tell({.code = Code::missing_output,
          .span = span,
          .message = fmt::format("{} needs an output", probe.name),
          .expected = signature(probe),
          .hint = "#name is a channel, /a/path a file"});
  } else {
    const auto count = least == most      ? fmt::format("{}", least)
                       : most == SIZE_MAX ? fmt::format("{} or more", least)
                                          : fmt::format("{} to {}", least, most);
    tell({.code = Code::argument_count,
          .span = span,
          .message = fmt::format("{} takes {} argument{}, here {} {}", probe.name,
                                 most == 0 ? "no" : count, least == 1 && most == 1 ? "" : "s",
                                 args.size() == 1 ? "is" : "are", args.size()),
          .expected = signature(probe),
          .hint = args.size() > 1 && most == 1 &&
                          (probe.params[0].kind == ParamKind::code ||
                           probe.params[0].kind == ParamKind::system_call)
                      ? fmt::format("probes that share a block: {}(...), {}(...) {{ ... }}",
                                    probe.name, probe.name)
                      : ""});
  }
  for (const auto arg : args) {
    if (script_.at(arg).kind == Expr::Kind::bad) broken_ = true;
  }
  broken_ = true;
  return false;
}

std::optional<std::uint8_t> Compiler::register_name(ExprId id) {
  const Expr& expr = script_.at(id);
  if (expr.kind == Expr::Kind::bad) {
    broken_ = true;
    return std::nullopt;
  }
  std::string word = expr.kind == Expr::Kind::name ? expr.text : "";
  if (expr.kind == Expr::Kind::field && script_.at(expr.a).kind == Expr::Kind::name &&
      script_.at(expr.a).text == "reg")
    word = expr.text;
  if (!word.empty()) {
    if (const auto found = find_register(word)) return found;
  }
  Diagnostic diagnostic{.code = Code::unknown_register,
                        .span = expr.span,
                        .message = fmt::format("{} is not a register", quote(expr.span))};
  Nearest nearest(word);
  if (!word.empty()) {
    for (const auto& reg : registers()) {
      nearest.offer(reg.name);
      nearest.offer(reg.classic);
    }
  }
  if (nearest.found())
    suggest(diagnostic, nearest, expr.span);
  else
    diagnostic.expected = "EAX, RAX, CR3, CS, GDTR ...";
  tell(std::move(diagnostic));
  broken_ = true;
  return std::nullopt;
}

std::uint16_t Compiler::output(ExprId id) {
  const Expr& expr = script_.at(id);
  if (expr.kind == Expr::Kind::bad) {
    broken_ = true;
    return Site::kStandard;
  }
  Output output{.channel = expr.value == 1, .name = expr.text};
  if (expr.kind == Expr::Kind::string) output.channel = false;
  if (expr.kind != Expr::Kind::output && expr.kind != Expr::Kind::string) {
    tell({.code = Code::bad_output,
          .span = expr.span,
          .message = fmt::format("{} is not an output", quote(expr.span)),
          .expected = std::string(describe(ParamKind::output))});
    broken_ = true;
    return Site::kStandard;
  }
  if (!output.channel && (output.name.empty() || output.name.find('\0') != std::string::npos ||
                          output.name.back() == '/')) {
    tell({.code = Code::bad_output,
          .span = expr.span,
          .message = output.name.empty() ? "a path has at least one character"
                                         : "this is not the path of a file",
          .expected = std::string(describe(ParamKind::output))});
    broken_ = true;
    return Site::kStandard;
  }
  const auto at = std::find(program_.outputs.begin(), program_.outputs.end(), output);
  const auto index = static_cast<std::uint16_t>(at - program_.outputs.begin());
  if (at == program_.outputs.end()) {
    if (program_.outputs.size() >= 1000) {
      tell({.code = Code::too_many,
            .span = expr.span,
            .message = "a script has at most 1000 outputs"});
      broken_ = true;
      return Site::kStandard;
    }
    program_.outputs.push_back(std::move(output));
  }
  return index;
}

void Compiler::operand(Site& site, Value value) {
  if (value.type.open()) return;
  site.types.push_back(value_type(value.type));
  site.operands.push_back(in_operand(value));
}

Value Compiler::act(const Expr& expr, const ProbeInfo& probe) {
  const Value nothing{.type = type_of(TypeKind::nothing), .span = expr.span};
  if (probe.kind == ProbeKind::filter) {
    for (const auto arg : expr.args) (void)script_.at(arg);
    return mistake({.code = Code::wrong_use,
                    .span = expr.name_span,
                    .message = fmt::format("{} is a filter: it has a block", probe.name),
                    .expected = fmt::format("{} {{ ... }}", signature(probe))});
  }
  if (probe.kind == ProbeKind::event || probe.kind == ProbeKind::stream) {
    return mistake({.code = Code::misplaced,
                    .span = expr.name_span,
                    .message = fmt::format("{} stands at the top of a script", probe.name)});
  }
  needs_ |= probe.needs;
  if (options_.judge_permissions) {
    if ((probe.needs & Needs::writes) != 0 && !options_.allow_writes) {
      tell({.code = Code::needs_writes,
            .span = expr.name_span,
            .message = fmt::format("{} changes the guest, and the script may not", probe.name),
            .hint = "start it with --allow-writes if that is what you want"});
    }
    if ((probe.needs & Needs::control) != 0 && !options_.allow_control) {
      tell({.code = Code::needs_control,
            .span = expr.name_span,
            .message =
                fmt::format("{} changes how the machine runs, and the script may not", probe.name),
            .hint = "start it with --allow-control if that is what you want"});
    }
  }
  if (probe.name == "Print" || probe.name == "Report") {
    print_or_report(expr, probe);
    return nothing;
  }
  if (!count_arguments(probe, expr.name_span, expr.args)) return error(expr.span);
  Site site{.line = source_.line_of(expr.span.begin)};
  site.probe = probe_index(probe);
  std::set<std::string_view> fields;
  for (std::size_t i = 0; i < expr.args.size(); ++i) {
    const auto id = expr.args[i];
    const Expr& arg = script_.at(id);
    const bool last = i + 1 == expr.args.size();
    const Param* param = &probe.params[std::min(i, probe.params.size() - 1)];
    if (probe.params.front().repeated) param = last ? &probe.params.back() : &probe.params.front();
    switch (param->kind) {
      case ParamKind::output: {
        if (probe.params.front().repeated && arg.kind == Expr::Kind::name) {
          tell({.code = Code::missing_output,
                .span = expr.span,
                .message = fmt::format("{} needs an output after its fields", probe.name),
                .expected = signature(probe)});
          broken_ = true;
          break;
        }
        if (probe.kind == ProbeKind::action) {
          if (arg.kind == Expr::Kind::output && arg.value == 1) {
            tell({.code = Code::bad_output,
                  .span = arg.span,
                  .message = fmt::format("{} writes a file, not a channel", probe.name)});
            broken_ = true;
            break;
          }
        }
        site.output = output(id);
        break;
      }
      case ParamKind::reg: {
        const auto reg = register_name(id);
        if (reg) site.numbers.push_back(*reg);
        if (reg && probe.name == "ReadMemoryAt" &&
            registers()[*reg].kind != RegisterInfo::general &&
            registers()[*reg].kind != RegisterInfo::control) {
          tell({.code = Code::wrong_argument,
                .span = arg.span,
                .message = fmt::format("{} holds no single address", arg.text)});
          broken_ = true;
        }
        break;
      }
      case ParamKind::process_field:
      case ParamKind::vmcs_field: {
        const auto names =
            param->kind == ParamKind::process_field ? process_list_fields() : vmcs_fields();
        const auto at = std::find(names.begin(), names.end(), arg.text);
        if (arg.kind != Expr::Kind::name || at == names.end()) {
          Diagnostic diagnostic{
              .code = Code::wrong_argument,
              .span = arg.span,
              .message = fmt::format("{} is not a field of {}", quote(arg.span), probe.name),
              .expected = fmt::format("{}", fmt::join(names, ", "))};
          Nearest nearest(arg.text);
          for (const auto name : names) nearest.offer(name);
          if (arg.kind != Expr::Kind::bad) {
            suggest(diagnostic, nearest, arg.span);
            tell(std::move(diagnostic));
          }
          broken_ = true;
          break;
        }
        if (!fields.insert(*at).second) {
          tell({.code = Code::duplicate_name,
                .span = arg.span,
                .message = fmt::format("{} is asked for twice", *at)});
          broken_ = true;
        }
        site.numbers.push_back(static_cast<std::uint64_t>(at - names.begin()));
        break;
      }
      case ParamKind::address: {
        auto value = address_expression(id);
        if (want_address(value, "an address")) operand(site, std::move(value));
        break;
      }
      case ParamKind::length: {
        auto value = rvalue(id);
        if (!want_number(value, "a number of bytes")) break;
        if (value.constant && (value.number == 0 || value.number > 65536)) {
          tell({.code = Code::out_of_range,
                .span = arg.span,
                .message = "1 to 65536 bytes are read at once"});
          broken_ = true;
        }
        operand(site, std::move(value));
        break;
      }
      case ParamKind::percent:
      case ParamKind::integer: {
        auto value = rvalue(id);
        if (!want_number(value, fmt::format("the {}", param->name))) break;
        if (param->kind == ParamKind::percent && value.constant && value.number > 100) {
          tell({.code = Code::out_of_range,
                .span = arg.span,
                .message = "a percentage is 0 to 100"});
          broken_ = true;
        }
        operand(site, std::move(value));
        break;
      }
      case ParamKind::value: {
        auto value = rvalue(id);
        if (value.type.is(TypeKind::integer) && value.literal && probe.name == "WriteMemory") {
          tell({.code = Code::wrong_type,
                .span = arg.span,
                .message = "how many bytes are to be written is not known",
                .hint = fmt::format("(u8){0}, (u16){0}, (u32){0} or (u64){0}",
                                    source_.text(arg.span))});
          broken_ = true;
          break;
        }
        if (const auto bits = value.type.bits; value.type.is(TypeKind::integer) &&
                                               probe.name == "WriteMemory" && bits != 8 &&
                                               bits != 16 && bits != 32 && bits != 64) {
          tell({.code = Code::wrong_type,
                .span = arg.span,
                .message = fmt::format("this number has {} bits: whole bytes are written", bits),
                .hint = fmt::format("(u8){0}, (u16){0}, (u32){0} or (u64){0}",
                                    source_.text(arg.span))});
          broken_ = true;
          break;
        }
        site.numbers.push_back(value.type.textual()               ? 0
                               : value.type.is(TypeKind::boolean) ? 1
                                                                  : value.type.bits / 8U);
        operand(site, std::move(value));
        break;
      }
      default:
        break;
    }
  }
  program_.sites.push_back(std::move(site));
  emit(Opcode::emit, 0, 0, 0, static_cast<std::int32_t>(program_.sites.size() - 1));
  return nothing;
}

}  // namespace vitrine::vmipl
