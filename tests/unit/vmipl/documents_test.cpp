// The documents are what the catalogue says, and their examples are scripts.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "vmipl/catalogue.h"
#include "vmipl/check.h"
#include "vmipl/codes.h"
#include "vmipl/editor_syntax.h"
#include "vmipl/format_script.h"
#include "vmipl/reference.h"
#include "vmipl/render.h"

namespace vitrine::vmipl {
namespace {

namespace fs = std::filesystem;

fs::path documents() {
  const fs::path file(__FILE__);
  if (file.is_absolute())
    return file.parent_path().parent_path().parent_path().parent_path() / "docs";
  for (auto at = fs::current_path(); at != at.root_path(); at = at.parent_path()) {
    if (fs::is_regular_file(at / "docs" / "language.md")) return at / "docs";
  }
  return {};
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void fresh(const fs::path& path, const std::string& wanted) {
  if (std::getenv("VITRINE_UPDATE") != nullptr) std::ofstream(path, std::ios::binary) << wanted;
  EXPECT_EQ(read(path), wanted) << path << ": run test_vmipl with VITRINE_UPDATE=1";
}

TEST(Documents, errors_are_the_catalogue) { fresh(documents() / "errors.md", errors_document()); }

TEST(Documents, reference_tables_are_the_catalogue) {
  const auto path = documents() / "language.md";
  fresh(path, refresh_reference(read(path)));
}

TEST(Documents, highlighting_is_the_catalogue) {
  const auto editors = documents().parent_path() / "editors";
  fresh(editors / "vim" / "syntax" / "vmi.vim", vim_syntax());
  fresh(editors / "vscode" / "syntaxes" / "vmi.tmLanguage.json", textmate_grammar());
}

// Scripts worth having are sound, and in canonical form.
TEST(Documents, the_examples_are_sound_and_formatted) {
  std::size_t examples = 0;
  for (const auto& entry : fs::directory_iterator(documents().parent_path() / "examples")) {
    if (entry.path().extension() != ".vmi") continue;
    ++examples;
    const Source source(entry.path().filename().string(), read(entry.path()));
    Diagnostics diagnostics;
    (void)check(source, {}, diagnostics);
    EXPECT_EQ(diagnostics.errors(), 0U) << render_text(source, diagnostics);
    EXPECT_EQ(format_script(source, diagnostics).value_or(""), source.text())
        << source.name() << ": run vitrine fmt";
    EXPECT_TRUE(source.text().starts_with("// ") || source.name().starts_with("classic"))
        << source.name() << " says what it is for";
  }
  EXPECT_GE(examples, 25U);
}

std::vector<std::string> blocks(const fs::path& document) {
  const auto text = read(document);
  std::vector<std::string> out;
  for (std::size_t at = 0; (at = text.find("```vmi\n", at)) != std::string::npos;) {
    at += 7;
    const auto end = text.find("```", at);
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(Documents, every_example_of_the_reference_is_sound) {
  auto examples = blocks(documents() / "language.md");
  for (auto& block : blocks(documents().parent_path() / "README.md"))
    examples.push_back(std::move(block));
  for (const auto& script : examples) {
    const Source source("language.md", script);
    Diagnostics diagnostics;
    (void)check(source, {}, diagnostics);
    EXPECT_TRUE(diagnostics.items().empty()) << script << render_text(source, diagnostics);
  }
  EXPECT_GE(examples.size(), 6U);
}

// tests/guest/language_test.py runs them on a guest.
TEST(Documents, there_are_twelve_one_liners) {
  const auto examples = blocks(documents() / "one-liners.md");
  EXPECT_EQ(examples.size(), 12U);
  for (const auto& script : examples) {
    const Source source("one-liners.md", script);
    Diagnostics diagnostics;
    const auto allowed = std::vector<std::string>{"unchecked-symbol"};
    CheckOptions options;
    options.allow = allowed;
    (void)check(source, options, diagnostics);
    EXPECT_TRUE(diagnostics.items().empty()) << script << render_text(source, diagnostics);
  }
}

// Codes are found by code and name, and each explains itself.
TEST(Documents, codes_are_unique_and_explained) {
  for (const auto& code : all_codes()) {
    EXPECT_EQ(find_code(code.code), &code) << code.code;
    EXPECT_EQ(find_code(code.name), &code) << code.name;
    EXPECT_FALSE(code.explanation.empty()) << code.code;
    EXPECT_EQ(code.code.front() == 'W', code.severity == Severity::warning) << code.code;
    EXPECT_NE(explain(code).find(code.title), std::string::npos);
  }
  EXPECT_EQ(find_code("e050"), find_code("E050"));
  EXPECT_EQ(find_code("E999"), nullptr);
}

TEST(Catalogue, classic_is_complete) {
  // Of the configuration, all but PollPeriod and RateLimit.
  std::size_t keys = configuration_keys().size() - 2, events = 0, data = 0, filters = 0,
              streams = 0;
  for (const auto& probe : probes()) {
    if (!probe.classic) continue;
    events += probe.kind == ProbeKind::event;
    data += probe.kind == ProbeKind::data;
    filters += probe.kind == ProbeKind::filter;
    streams += probe.kind == ProbeKind::stream;
  }
  EXPECT_EQ(keys, 13U);
  EXPECT_EQ(events, 12U);
  EXPECT_EQ(data, 5U);
  EXPECT_EQ(filters, 2U);
  EXPECT_EQ(streams, 2U);
  for (const char* name : {"EAX",    "EBX",  "ECX", "EDX", "ESI", "EDI", "ESP", "EBP", "EIP",
                           "EFLAGS", "CS",   "SS",  "DS",  "ES",  "FS",  "GS",  "TR",  "LDTR",
                           "GDTR",   "IDTR", "CR0", "CR2", "CR3", "CR4", "rax", "R15"}) {
    EXPECT_TRUE(find_register(name)) << name;
  }
}

TEST(Catalogue, system_calls_are_sorted_and_named) {
  for (std::size_t i = 1; i < system_calls().size(); ++i)
    EXPECT_LT(system_calls()[i - 1].number, system_calls()[i].number);
  EXPECT_EQ(system_call_name(59), "execve");
  EXPECT_EQ(find_system_call("openat")->number, 257);
  EXPECT_TRUE(system_call_name(400).empty());
}

TEST(Catalogue, globs) {
  EXPECT_TRUE(glob_matches("vfs_*", "vfs_read"));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("*a*b?", "xxaxxbc"));
  EXPECT_FALSE(glob_matches("vfs_*", "do_vfs_read"));
  EXPECT_FALSE(glob_matches("a?", "a"));
}

}  // namespace
}  // namespace vitrine::vmipl
