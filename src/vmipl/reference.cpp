#include "vmipl/reference.h"

#include <fmt/format.h>

#include <algorithm>

#include "vmipl/ast.h"
#include "vmipl/catalogue.h"
#include "vmipl/program.h"

namespace vitrine::vmipl {

std::string carried(const ProbeInfo& probe) {
  std::vector<std::string> parts;
  if ((probe.carries & Carries::moment) != 0) parts.emplace_back("process, thread, cpu, stacks");
  if ((probe.carries & Carries::arguments) != 0) parts.emplace_back("arg0..arg5");
  if ((probe.carries & Carries::result) != 0) parts.emplace_back("ret");
  if ((probe.carries & Carries::system_call) != 0) parts.emplace_back("syscall");
  for (const auto& field : probe.fields) parts.push_back(fmt::format("event.{}", field.name));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string_view permission(const ProbeInfo& probe) noexcept {
  if ((probe.needs & Needs::writes) != 0) return "--allow-writes";
  if ((probe.needs & Needs::control) != 0) return "--allow-control";
  return {};
}

namespace {

std::string probes_of(ProbeKind kind) {
  const bool event = kind == ProbeKind::event;
  const bool action = kind == ProbeKind::action;
  std::string out = event    ? "| probe | fires when | carries |\n|---|---|---|\n"
                    : action ? "| written | does | permission |\n|---|---|---|\n"
                             : "| written | what it gives |\n|---|---|\n";
  for (const auto& probe : probes()) {
    if (probe.kind != kind) continue;
    const auto mark = probe.classic && event ? " (classic)" : "";
    out += fmt::format("| `{}`{} | {} |", signature(probe), mark, probe.summary);
    if (event) out += fmt::format(" {} |", carried(probe));
    if (action)
      out += permission(probe).empty() ? "  |" : fmt::format(" `{}` |", permission(probe));
    out += '\n';
  }
  if (action) out += fmt::format("| `Stop()` | {} | |\n", stop_action()->summary);
  return out;
}

}  // namespace

std::string reference_table(std::string_view table) {
  if (table == "probes") return probes_of(ProbeKind::event);
  if (table == "filters") return probes_of(ProbeKind::filter);
  if (table == "data") return probes_of(ProbeKind::data);
  if (table == "streams") return probes_of(ProbeKind::stream);
  if (table == "actions") return probes_of(ProbeKind::action);
  std::string out;
  if (table == "fields") {
    out = "| probe | field | type | what it is |\n|---|---|---|---|\n";
    for (const auto& probe : probes()) {
      for (const auto& field : probe.fields)
        out += fmt::format("| {} | `event.{}` | {} | {} |\n", probe.name, field.name,
                           name(field.type), field.summary);
    }
  } else if (table == "moment") {
    out = "| value | type | what it is |\n|---|---|---|\n";
    for (const auto& moment : moments()) {
      out += fmt::format("| `{}{}{}` | {} | {} |\n", moment.group, moment.group.empty() ? "" : ".",
                         moment.name,
                         moment.guest_type.empty() ? std::string(name(moment.type))
                                                   : fmt::format("struct {} *", moment.guest_type),
                         moment.summary);
    }
  } else if (table == "registers") {
    out = "| in expressions | in probes | also |\n|---|---|---|\n";
    for (const auto& reg : registers()) {
      std::string upper(reg.name);
      std::transform(upper.begin(), upper.end(), upper.begin(),
                     [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
      out += fmt::format(
          "| `reg.{}` | `{}` | {} |\n", reg.name, upper,
          reg.classic.empty() || reg.classic == upper ? "" : fmt::format("`{}`", reg.classic));
    }
  } else if (table == "functions") {
    out = "| written | gives |\n|---|---|\n";
    for (const auto& function : functions())
      out += fmt::format("| `{}` | {} |\n", function.written, function.summary);
  } else if (table == "keys") {
    out = "| key | value | meaning |\n|---|---|---|\n";
    for (const auto& key : configuration_keys()) {
      out += fmt::format("| `{}` | {} | {} |\n", key.name, describe(key.kind), key.summary);
    }
  } else if (table == "limits") {
    out = "| limit | |\n|---|---|\n";
    out += fmt::format(
        "| size of a script | {} KiB |\n| blocks in blocks, expressions in expressions | {} |\n",
        kMaxScriptBytes / 1024, kMaxDepth);
    out += fmt::format(
        "| maps | {} |\n| keys of a map | {} |\n| loops over views within each other | {} |\n",
        kMaxMaps, kMaxKeys, kMaxViewSlots);
    out +=
        fmt::format("| bytes of `string` and `bytes` | {} |\n| instructions of a program | {} |\n",
                    kMaxTextBytes, kMaxCode);
    out += fmt::format(
        "| numbers alive at once in a probe | {} |\n| texts alive at once in a probe | {} |\n",
        kMaxNumbers, kMaxTexts);
  } else if (table == "system-calls") {
    std::string line;
    for (const auto& call : system_calls()) {
      const auto item = fmt::format("{} {}, ", call.number, call.name);
      if (line.size() + item.size() > 110) {
        out += line + '\n';
        line.clear();
      }
      line += item;
    }
    if (line.size() >= 2) out += line.substr(0, line.size() - 2) + '\n';
  }
  return out;
}

std::string refresh_reference(std::string_view document) {
  constexpr std::string_view kBegin = "<!-- generated: ";
  constexpr std::string_view kEnd = "<!-- end -->";
  std::string out;
  while (!document.empty()) {
    const auto begin = document.find(kBegin);
    if (begin == std::string_view::npos) break;
    const auto line = document.find('\n', begin);
    const auto end = document.find(kEnd, begin);
    if (line == std::string_view::npos || end == std::string_view::npos || line > end) break;
    const auto word = document.substr(
        begin + kBegin.size(), document.find(' ', begin + kBegin.size()) - begin - kBegin.size());
    out += document.substr(0, line + 1);
    out += '\n' + reference_table(word) + '\n';
    out += kEnd;
    document.remove_prefix(end + kEnd.size());
  }
  return out + std::string(document);
}

std::string probe_page(const ProbeInfo& probe) {
  auto out =
      fmt::format("{}\n\n{} {}: {}.\n", signature(probe), probe.classic ? "Classic" : "Extended",
                  probe.kind == ProbeKind::event    ? "event probe; it fires when"
                  : probe.kind == ProbeKind::filter ? "filter"
                  : probe.kind == ProbeKind::data   ? "data probe; it gives"
                  : probe.kind == ProbeKind::stream ? "stream probe; it gives"
                                                    : "action",
                  probe.summary);
  if (!permission(probe).empty())
    out += fmt::format("\nA script with it is started with {}.\n", permission(probe));
  if (!probe.params.empty()) {
    out += "\narguments:\n";
    for (const auto& param : probe.params) {
      out += fmt::format("  {:<24} {}{}\n", param.name, describe(param.kind),
                         param.repeated   ? "; any number of them"
                         : param.optional ? "; may be left out"
                                          : "");
    }
  }
  if (probe.kind == ProbeKind::event) {
    out += "\nits block can look at:\n";
    constexpr std::pair<std::uint32_t, std::string_view> kCarried[] = {
        {Carries::moment, "process.*  thread.*  cpu  kstack  ustack  reg.*"},
        {Carries::arguments, "arg0 to arg5"},
        {Carries::result, "ret"},
        {Carries::system_call, "syscall.name  syscall.number  syscall.compat"}};
    for (const auto& [bit, words] : kCarried) {
      if ((probe.carries & bit) != 0) out += fmt::format("  {}\n", words);
    }
    for (const auto& field : probe.fields) {
      out += fmt::format("  {:<24} {}: {}\n", fmt::format("event.{}", field.name), name(field.type),
                         field.summary);
    }
    out += "  now  views  maps\n";
  }
  return out;
}

}  // namespace vitrine::vmipl
