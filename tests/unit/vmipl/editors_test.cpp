// What editors and the prompt ask: completion, hover, where a name is declared.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "vmipl/completion.h"
#include "vmipl/definition.h"
#include "vmipl/hover.h"
#include "vmipl/parser.h"

namespace vitrine::vmipl {
namespace {

class Views final : public ViewPort {
 public:
  [[nodiscard]] std::optional<std::vector<ViewColumn>> columns(
      std::string_view view) const override {
    if (view != "sockets") return std::nullopt;
    return std::vector<ViewColumn>{{"state", ColumnKind::text}, {"remote", ColumnKind::text}};
  }
  [[nodiscard]] std::vector<std::string> names() const override { return {"sockets", "processes"}; }
};
const Views kViews;
const Ports kPorts{nullptr, nullptr, &kViews};

bool offers(std::string_view before, std::string_view word, std::string_view whole = {}) {
  const auto found = completions(before, kPorts, whole);
  return std::ranges::find(found, word, &Completion::text) != found.end();
}

TEST(Completion, OffersWhatMayStandThere) {
  EXPECT_TRUE(offers("Sys", "Syscall"));
  EXPECT_TRUE(offers("for (s in s", "sockets"));
  EXPECT_FALSE(offers("for (s in s", "string"));
  EXPECT_TRUE(offers("Print(\"%s\", process.na", "process.name"));
  EXPECT_TRUE(offers("reg.r1", "reg.r15"));
  EXPECT_TRUE(offers("for (s in sockets) if (s.st", "s.state"));
  EXPECT_TRUE(offers("x = phys.u", "phys.u64"));
  EXPECT_TRUE(completions("zzz", kPorts).empty());
  EXPECT_EQ(last_word("a + process.na"), "process.na");
  EXPECT_EQ(last_word("a + @na"), "@na");
}

TEST(Completion, EventHasTheFieldsOfItsProbe) {
  EXPECT_TRUE(offers("WriteAt(jiffies) { event.v", "event.value"));
  EXPECT_FALSE(offers("WriteAt(jiffies) { } ProcessExit { event.v", "event.value"));
  EXPECT_TRUE(offers("WriteAt(jiffies) { } ProcessExit { event.c", "event.code"));
  EXPECT_TRUE(offers("ProcessExit when (event.c", "event.code"));
}

TEST(Completion, KeysStandInConfigurationAlone) {
  EXPECT_TRUE(offers("Configuration {\n  Tasks", "TasksOffset"));
  EXPECT_FALSE(offers("Configuration {\n  Sysc", "Syscall"));
  EXPECT_FALSE(offers("Configuration { } Tasks", "TasksOffset"));
}

TEST(Completion, ArgumentsAreThoseOfTheProbe) {
  EXPECT_TRUE(offers("Syscall(opena", "openat"));
  EXPECT_TRUE(offers("MSRWrite(LST", "LSTAR"));
  EXPECT_TRUE(offers("Start { ReadRegister(RS", "RSP"));
  EXPECT_TRUE(offers("Start { ReadRegister(ES", "ESP"));
  EXPECT_TRUE(offers("Start { ProcessList(PID, NA", "NAME"));
  EXPECT_TRUE(offers("Start { Report(\"x\", hi", "high"));
  EXPECT_FALSE(offers("Start { opena", "openat"));
}

TEST(Completion, WhatTheScriptDeclares) {
  constexpr std::string_view kWhole =
      "const limit = 3\nfn kib(x) = x / 1024\nStart { let size = 1 @sum[1] = 2 Print(#log, \"a\") "
      "}";
  EXPECT_TRUE(offers("Stop { lim", "limit", kWhole));
  EXPECT_TRUE(offers("Stop { ki", "kib", kWhole));
  EXPECT_TRUE(offers("Stop { si", "size", kWhole));
  EXPECT_TRUE(offers("Stop { print(@s", "@sum", kWhole));
  EXPECT_TRUE(offers("Stop { Print(#l", "#log", kWhole));
}

TEST(Completion, NothingInCommentsAndStrings) {
  EXPECT_TRUE(completions("// Sys", kPorts).empty());
  EXPECT_TRUE(completions("/* Sys", kPorts).empty());
  EXPECT_TRUE(completions("Start { Print(\"Sys", kPorts).empty());
  EXPECT_TRUE(offers("// a\nSys", "Syscall"));
}

TEST(Completion, AnyBytes) {
  for (const std::string_view text : {"", "(", "\"\\", "@", "#", ".", "for (x in ", "\xff\xfe(",
                                      "Configuration {", "}}}}", "Syscall(,,,,,,"})
    (void)completions(text, kPorts, text);
}

/// `text` with the place that is asked for marked by ^ (which is taken out).
struct Asked {
  explicit Asked(std::string_view marked)
      : at(static_cast<std::uint32_t>(marked.find('^'))),
        source("test.vmi", std::string(marked.substr(0, at)) + std::string(marked.substr(at + 1))),
        script(parse(source, ignored).script) {}
  std::uint32_t at;
  Source source;
  Diagnostics ignored;
  Script script;

  /// "line:column name"; empty: nowhere.
  [[nodiscard]] std::string declared() const {
    const auto found = find_definition(script, at);
    if (!found) return {};
    const auto place = source.position(found->declared.begin);
    return std::to_string(place.line) + ":" + std::to_string(place.column) + " " +
           std::string(source.text(found->declared));
  }
  [[nodiscard]] std::string hovered() const {
    const auto found = hover(source, script, at, kPorts);
    return found ? found->text : std::string();
  }
};
std::string declared(std::string_view marked) { return Asked(marked).declared(); }
std::string hovered(std::string_view marked) { return Asked(marked).hovered(); }

TEST(Definition, OfEachKindOfName) {
  EXPECT_EQ(declared("Start {\n let size = 1\n Print(\"%d\", si^ze)\n}"), "2:6 size");
  EXPECT_EQ(declared("const limit = 3\nStart { Print(\"%d\", limit^) }"), "1:7 limit");
  EXPECT_EQ(declared("fn kib(x) = x / 1024\nStart { Print(\"%d\", ^kib(2)) }"), "1:4 kib");
  EXPECT_EQ(declared("fn kib(x) = ^x / 1024"), "1:8 x");
  EXPECT_EQ(declared("Start { for (s in sockets) Print(\"%s\", s^.state) }"), "1:14 s");
  EXPECT_EQ(declared("Start { for (i in 0..3) Print(\"%d\", i^) }"), "1:14 i");
  EXPECT_EQ(declared("Stop { print(@^a) }\nStart { @a = 1 }"), "2:9 @a");
  EXPECT_EQ(declared("Stop { print(@^a) }"), "1:14 @a");
  EXPECT_EQ(declared("Start { Print(#log, \"a\") Print(#l^og, \"b\") }"), "1:15 #log");
  EXPECT_EQ(declared("Symptom odd { severity: low text: \"t\" Start { Report(\"x\") } }\n"
                     "Start { Report(\"o^dd\", low, \"x\") }"),
            "1:9 odd");
}

TEST(Definition, TheInnermostHolds) {
  EXPECT_EQ(declared("Start {\n let a = 1\n { let a = 2\n  Print(\"%d\", ^a) }\n}"), "3:8 a");
  EXPECT_EQ(declared("Start {\n let a = 1\n { let a = 2 }\n  Print(\"%d\", ^a)\n}"), "2:6 a");
  EXPECT_EQ(declared("Start { let a = 1 }\nStop { Print(\"%d\", ^a) }"), "");
  EXPECT_EQ(declared("Start {\n let a = 1\n let a = ^a + 1\n}"), "2:6 a");
}

TEST(Definition, WhatTheScriptDoesNotDeclareIsNowhere) {
  EXPECT_EQ(declared("Start { Print(\"%d\", n^ow) }"), "");
  EXPECT_EQ(declared("^Start { }"), "");
  EXPECT_EQ(declared("Start { // si^ze\n let size = 1 }"), "");
  EXPECT_EQ(declared("Start { let size = 1 Print(\"si^ze\") }"), "");
}

TEST(Definition, OfAScriptWithMistakes) {
  EXPECT_EQ(declared("Start { let a = 1 Print(\"%d\", ^a) \n if ( }\nSysca(x) {"), "1:13 a");
}

TEST(Hover, TellsWhatTheCatalogueKnows) {
  EXPECT_NE(hovered("Sys^call(openat) { }").find("a system call begins"), std::string::npos);
  EXPECT_NE(hovered("Syscall(o^penat) { }").find("system call 257"), std::string::npos);
  EXPECT_NE(hovered("MSRWrite(LS^TAR) { }").find("0xc0000082"), std::string::npos);
  EXPECT_NE(hovered("Syscall { Print(\"%s\", process.na^me) }").find("at most 15 bytes"),
            std::string::npos);
  EXPECT_NE(hovered("ProcessExit { Print(\"%d\", event.co^de) }").find("exit code"),
            std::string::npos);
  EXPECT_NE(hovered("Start { Print(\"%s\", str^ing(1)) }").find("up to its NUL"),
            std::string::npos);
  EXPECT_NE(hovered("Start { Print(\"%d\", phys.u6^4(1)) }").find("physical"), std::string::npos);
  EXPECT_NE(hovered("Start { for (s in soc^kets) { } }").find("remote"), std::string::npos);
  EXPECT_NE(hovered("Start { for (s in sockets) { Print(\"%s\", s.st^ate) } }")
                .find("a column of sockets"),
            std::string::npos);
  EXPECT_NE(hovered("Configuration { Tasks^Offset: 8 }").find("task_struct.tasks"),
            std::string::npos);
  EXPECT_NE(hovered("Start { St^op() }").find("ends the script"), std::string::npos);
}

TEST(Hover, TellsWhatTheScriptDeclares) {
  EXPECT_EQ(hovered("const limit = 1 << 20\nStart { Print(\"%d\", lim^it) }"),
            "```vmi\nconst limit = 1 << 20\n```\nconstant, declared in line 1\n");
  EXPECT_EQ(hovered("Start { @total = count() }\nStop { print(@to^tal) }"),
            "```vmi\n@total = count()\n```\nmap, first written in line 1\n");
}

TEST(Hover, NothingInCommentsStringsAndBlanks) {
  EXPECT_EQ(hovered("// Sys^call\n"), "");
  EXPECT_EQ(hovered("Start { Print(\"Sys^call\") }"), "");
  EXPECT_EQ(hovered("Start { ^ }"), "");
  EXPECT_EQ(hovered("^"), "");
}

}  // namespace
}  // namespace vitrine::vmipl
