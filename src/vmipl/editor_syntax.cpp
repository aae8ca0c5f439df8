#include "vmipl/editor_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "vmipl/catalogue.h"
#include "vmipl/render.h"

namespace vitrine::vmipl {
namespace {

constexpr std::string_view kKeywords[] = {
    "break", "const",  "continue", "else", "fn",       "for",    "if",     "in",
    "let",   "return", "when",     "enum", "offsetof", "sizeof", "struct", "union"};

std::vector<std::string> probes_of(std::initializer_list<ProbeKind> kinds) {
  std::vector<std::string> names;
  for (const auto& probe : probes()) {
    if (std::find(kinds.begin(), kinds.end(), probe.kind) != kinds.end())
      names.emplace_back(probe.name);
  }
  return names;
}

std::vector<std::string> function_names() {
  std::set<std::string> names;
  for (const auto& function : functions()) {
    const auto dot = function.name.find('.');
    names.emplace(function.name.substr(dot == std::string_view::npos ? 0 : dot + 1));
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> moment_names() {
  std::set<std::string> names{"event", "reg", "phys"};
  for (const auto& moment : moments())
    names.emplace(moment.group.empty() ? moment.name : moment.group);
  return {names.begin(), names.end()};
}

std::vector<std::string> register_names() {
  std::set<std::string> names;
  for (const auto& reg : registers()) {
    std::string upper(reg.name);
    for (char& c : upper) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - ('a' - 'A'));
    }
    names.insert(upper);
    if (!reg.classic.empty()) names.emplace(reg.classic);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> key_names() {
  std::vector<std::string> names;
  for (const auto& key : configuration_keys()) names.emplace_back(key.name);
  for (const auto* name : {"severity", "technique", "text"}) names.emplace_back(name);
  return names;
}

std::vector<std::string> constant_names() {
  std::vector<std::string> names{"true", "false"};
  for (const auto severity : severities()) names.emplace_back(severity);
  for (const auto field : process_list_fields()) names.emplace_back(field);
  for (const auto field : vmcs_fields()) names.emplace_back(field);
  return names;
}

std::string keyword_lines(std::string_view group, const std::vector<std::string>& names) {
  std::string out, line;
  for (const auto& name : names) {
    if (line.empty()) line = fmt::format("syn keyword {}", group);
    line += ' ' + name;
    if (line.size() > 90) {
      out += line + '\n';
      line.clear();
    }
  }
  return line.empty() ? out : out + line + '\n';
}

/// A rule of a TextMate grammar.
std::string rule(std::string_view scope, std::string_view pattern) {
  return fmt::format("    {{\"name\": \"{}.vmi\", \"match\": {}}}", scope, json_string(pattern));
}

std::string words(const std::vector<std::string>& names) {
  return fmt::format(R"(\b({})\b)", fmt::join(names, "|"));
}

}  // namespace

std::string vim_syntax() {
  std::string out =
      "\" VMI-PL. Generated from the language's catalogue; a test keeps it fresh.\n"
      "if exists(\"b:current_syntax\")\n  finish\nendif\nsyn case match\n";
  out += keyword_lines("vmiKeyword", {std::begin(kKeywords), std::end(kKeywords)});
  out += "syn keyword vmiStructure Configuration Symptom\n";
  out += keyword_lines("vmiProbe", probes_of({ProbeKind::event, ProbeKind::stream}));
  out += keyword_lines("vmiAction",
                       probes_of({ProbeKind::action, ProbeKind::data, ProbeKind::filter}));
  // A function's name may be a type's or a variable's elsewhere: it counts before its parenthesis.
  out += fmt::format("syn match vmiFunction \"\\<\\({}\\)\\ze\\s*(\"\n",
                     fmt::join(function_names(), "\\|"));
  out += keyword_lines("vmiValue", moment_names());
  out += keyword_lines("vmiRegister", register_names());
  out += fmt::format("syn match vmiKey \"\\<\\({}\\)\\ze\\s*:\"\n", fmt::join(key_names(), "\\|"));
  out += keyword_lines("vmiConstant", constant_names());
  out +=
      "syn match vmiMap \"@\\w*\"\n"
      "syn match vmiChannel \"#\\w[A-Za-z0-9_-]*\"\n"
      "syn match vmiNumber \"\\<\\d[0-9_]*\\(ns\\|us\\|ms\\|s\\|min\\|m\\|h\\|d\\)\\?\\>\"\n"
      "syn match vmiNumber \"\\<0[xX][0-9A-Fa-f_]\\+\\>\"\n"
      "syn match vmiNumber \"\\<0[bB][01_]\\+\\>\\|\\<0o[0-7_]\\+\\>\\|'\\(\\\\.\\|[^'\\\\]\\)'\"\n"
      "syn match vmiMac \"\\<\\x\\x\\([:-]\\x\\x\\)\\{5}\\>\"\n"
      "syn match vmiEscape \"\\\\\\(x\\x\\x\\|u{\\x\\+}\\|.\\)\" contained\n"
      "syn match vmiFormat \"%[-+ #0]*\\d*\\(\\.\\d\\+\\)\\?[duxXobpsct%]\" contained\n"
      "syn region vmiString start=+\"+ skip=+\\\\\\\\\\|\\\\\"+ end=+\"+ oneline "
      "contains=vmiEscape,vmiFormat\n"
      "syn match vmiComment \"\\%^#!.*$\"\n"
      "syn match vmiComment \"//.*$\" contains=vmiTodo,vmiAllow\n"
      "syn region vmiComment start=\"/\\*\" end=\"\\*/\" contains=vmiTodo\n"
      "syn match vmiAllow \"vitrine:\\s*allow([^)]*)\" contained\n"
      "syn keyword vmiTodo TODO FIXME XXX contained\n"
      "hi def link vmiKeyword Keyword\nhi def link vmiStructure Structure\nhi def link vmiProbe "
      "Type\n"
      "hi def link vmiAction Function\nhi def link vmiFunction Function\nhi def link vmiValue "
      "Identifier\n"
      "hi def link vmiRegister Special\nhi def link vmiKey Label\nhi def link vmiConstant "
      "Constant\n"
      "hi def link vmiMap Identifier\nhi def link vmiChannel PreProc\nhi def link vmiNumber "
      "Number\n"
      "hi def link vmiMac Number\nhi def link vmiEscape SpecialChar\nhi def link vmiFormat "
      "SpecialChar\n"
      "hi def link vmiString String\nhi def link vmiComment Comment\nhi def link vmiAllow "
      "SpecialComment\n"
      "hi def link vmiTodo Todo\nlet b:current_syntax = \"vmi\"\n";
  return out;
}

std::string textmate_grammar() {
  std::vector<std::string> rules{
      rule("comment.line.number-sign", R"(\A#!.*$)"),
      rule("comment.line.double-slash", "//.*$"),
      R"(    {"name": "comment.block.vmi", "begin": "/\\*", "end": "\\*/"})",
      "    {\"name\": \"string.quoted.double.vmi\", \"begin\": \"\\\"\", \"end\": \"\\\"|$\", "
      "\"patterns\": [\n"
      "      {\"name\": \"constant.character.escape.vmi\", \"match\": " +
          json_string(R"(\\(x[0-9A-Fa-f]{2}|u\{[0-9A-Fa-f]+\}|.))") +
          "},\n      {\"name\": \"constant.other.placeholder.vmi\", \"match\": " +
          json_string(R"(%[-+ #0]*\d*(\.\d+)?[duxXobpsct%])") + "}]}",
      rule("constant.other.mac", R"(\b[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}\b)"),
      rule("keyword.control", words({std::begin(kKeywords), std::end(kKeywords)})),
      rule("storage.type", R"(\b(Configuration|Symptom)\b)"),
      rule("entity.name.type.probe", words(probes_of({ProbeKind::event, ProbeKind::stream}))),
      rule("support.function.action",
           words(probes_of({ProbeKind::action, ProbeKind::data, ProbeKind::filter}))),
      rule("support.function", fmt::format(R"(\b({})(?=\s*\())", fmt::join(function_names(), "|"))),
      rule("variable.language", words(moment_names())),
      rule("support.constant.register", words(register_names())),
      rule("entity.other.attribute-name",
           fmt::format(R"(\b({})(?=\s*:))", fmt::join(key_names(), "|"))),
      rule("constant.language", words(constant_names())),
      rule("variable.other.map", R"(@\w*)"),
      rule("entity.name.tag.channel", R"(#\w[A-Za-z0-9_-]*)"),
      rule("constant.numeric",
           R"(\b(0[xX][0-9A-Fa-f_]+|0[bB][01_]+|0o[0-7_]+|\d[0-9_]*(ns|us|ms|s|min|m|h|d)?)\b)"),
      rule("constant.character", R"('(\\.|[^'\\])')"),
      rule("keyword.operator", R"(->|\.\.|[-+*/%&|^~!<>=?]+)")};
  return fmt::format(
      "{{\n  \"$comment\": \"Generated from the language's catalogue; a test keeps it fresh.\",\n"
      "  \"name\": \"VMI-PL\",\n  \"scopeName\": \"source.vmi\",\n  \"fileTypes\": [\"vmi\"],\n"
      "  \"patterns\": [\n{}\n  ]\n}}\n",
      fmt::join(rules, ",\n"));
}

}  // namespace vitrine::vmipl
