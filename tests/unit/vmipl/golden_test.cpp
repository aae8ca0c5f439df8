// Golden tests: text in, text out. A case is two files, NAME.vmi and NAME.out, in a folder of
// tests/golden/vmipl whose name says what is done with it. No C++ is needed to add one:
// write NAME.vmi and run with VITRINE_UPDATE=1 (or --update), then read what came out.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <string>

#include "vmipl/check.h"
#include "vmipl/format_script.h"
#include "vmipl/kernel_description.h"
#include "vmipl/program.h"
#include "vmipl/render.h"

namespace vitrine::vmipl {
namespace {

namespace fs = std::filesystem;

// Tests run somewhere below the repository; __FILE__ may be relative to anywhere.
fs::path repository() {
  const fs::path file(__FILE__);
  if (file.is_absolute()) return file.parent_path().parent_path().parent_path().parent_path();
  for (auto at = fs::current_path(); at != at.root_path(); at = at.parent_path()) {
    if (fs::is_directory(at / "tests" / "golden" / "vmipl")) return at;
  }
  return {};
}
fs::path golden() { return repository() / "tests" / "golden" / "vmipl"; }

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool updating() {
  if (std::getenv("VITRINE_UPDATE") != nullptr) return true;
  for (const auto& word : testing::internal::GetArgvs()) {
    if (word == "--update") return true;
  }
  return false;
}

using Run = std::function<std::string(const Source&)>;

void cases(const std::string& folder, const Run& run) {
  ASSERT_TRUE(fs::is_directory(golden() / folder)) << golden() / folder;
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(golden() / folder)) {
    if (entry.path().extension() == ".vmi") files.insert(entry.path());
  }
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    const Source source(path.filename().string(), read(path));
    const auto actual = run(source);
    auto expected_path = path;
    expected_path.replace_extension(".out");
    if (updating()) {
      std::ofstream(expected_path, std::ios::binary) << actual;
      continue;
    }
    EXPECT_EQ(read(expected_path), actual) << path;
  }
}

std::string outcome(const Source& source, const CheckOptions& options) {
  Diagnostics diagnostics;
  const auto checked = check(source, options, diagnostics);
  auto out = render_text(source, diagnostics);
  if (diagnostics.errors() == 0) out += "ok\n";
  return out;
}

// Without a machine.
TEST(Golden, check) {
  cases("check", [](const Source& source) { return outcome(source, {}); });
}

// Against the saved kernel description beside the cases.
TEST(Golden, kernel) {
  const auto kernel = KernelDescription::parse(read(golden() / "kernel.txt"));
  ASSERT_TRUE(kernel) << kernel.error().message;
  cases("kernel", [&](const Source& source) {
    CheckOptions options;
    options.ports = kernel->ports();
    options.judge_permissions = true;
    return outcome(source, options);
  });
}

// The program a script becomes. Each is verified, and saved and loaded again.
TEST(Golden, program) {
  const auto kernel = KernelDescription::parse(read(golden() / "kernel.txt"));
  ASSERT_TRUE(kernel) << kernel.error().message;
  for (const std::string folder : {"program", "kernel"}) {
    cases(folder, [&](const Source& source) {
      Diagnostics diagnostics;
      CheckOptions options;
      options.ports = kernel->ports();
      options.judge_permissions = folder == "kernel";
      const auto checked = check(source, options, diagnostics);
      if (checked.program) {
        const auto refusal = verify(*checked.program);
        EXPECT_FALSE(refusal) << source.name() << ": " << (refusal ? refusal->why : "") << " at "
                              << (refusal ? refusal->where : 0) << "\n"
                              << list(*checked.program);
        const auto loaded = load_program(save(*checked.program));
        EXPECT_TRUE(loaded) << source.name() << ": " << (loaded ? "" : loaded.error().what);
        if (loaded) {
          EXPECT_EQ(*loaded, *checked.program) << source.name();
        }
        // Seeds for tests/fuzz/vmipl_program_fuzz.cpp.
        if (const char* seeds = std::getenv("VITRINE_SEEDS")) {
          const auto bytes = save(*checked.program);
          std::ofstream(fs::path(seeds) / source.name(), std::ios::binary)
              .write(reinterpret_cast<const char*>(bytes.data()),
                     static_cast<std::streamsize>(bytes.size()));
        }
        auto bound = *checked.program;
        std::vector<std::string> problems;
        EXPECT_TRUE(vmipl::bind(bound, options.ports, problems))
            << source.name() << ": " << (problems.empty() ? "" : problems.front());
        EXPECT_EQ(bound, *checked.program) << source.name();
      }
      if (folder == "kernel") return outcome(source, options);
      return render_text(source, diagnostics) +
             (checked.program ? list(*checked.program) : "no program\n");
    });
  }
}

// Diagnostics for programs.
TEST(Golden, json) {
  cases("json", [](const Source& source) {
    Diagnostics diagnostics;
    (void)check(source, {}, diagnostics);
    return render_json(source, diagnostics);
  });
}

// A program is wanted, and there is no kernel to build it for.
TEST(Golden, build) {
  cases("build", [](const Source& source) {
    CheckOptions options;
    options.build = true;
    return outcome(source, options);
  });
}

// The canonical form.
TEST(Golden, fmt) {
  cases("fmt", [](const Source& source) {
    Diagnostics diagnostics;
    const auto formatted = format_script(source, diagnostics);
    return formatted ? *formatted : render_text(source, diagnostics);
  });
}

// The tokens of a script, without those that formatting may take away.
std::vector<std::string> tokens(const std::string& text) {
  const Source source("tokens.vmi", text);
  Diagnostics diagnostics;
  std::vector<std::string> out;
  for (const auto& token : parse(source, diagnostics).tokens) {
    if (token.kind != TokenKind::semicolon) out.emplace_back(source.text(token.span));
  }
  return out;
}

std::size_t comments(const std::string& text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i)
    count += text[i] == '/' && (text[i + 1] == '/' || text[i + 1] == '*');
  return count;
}

// The program that a script becomes on the kernel of the cases, without the lines it stood on.
std::optional<Program> meaning(const std::string& text, const Ports& ports) {
  Diagnostics diagnostics;
  CheckOptions options;
  options.ports = ports;
  auto program = check(Source("meaning.vmi", text), options, diagnostics).program;
  if (!program) return std::nullopt;
  for (auto& site : program->sites) site.line = 0;
  for (auto& probe : program->probes) probe.line = 0;
  return program;
}

// Formatting any script that parses, twice, changes nothing the second time, and no token ever;
// and the program it becomes is the same.
TEST(Golden, formatting_is_idempotent_and_changes_no_meaning) {
  const auto kernel = KernelDescription::parse(read(golden() / "kernel.txt"));
  ASSERT_TRUE(kernel) << kernel.error().message;
  std::size_t formatted_scripts = 0, programs = 0;
  for (const auto& entry : fs::recursive_directory_iterator(golden())) {
    if (entry.path().extension() != ".vmi") continue;
    const auto text = read(entry.path());
    Diagnostics diagnostics;
    const auto once = format_script(Source("once.vmi", text), diagnostics);
    if (!once) continue;
    ++formatted_scripts;
    const auto twice = format_script(Source("twice.vmi", *once), diagnostics);
    ASSERT_TRUE(twice) << entry.path() << "\n" << *once;
    EXPECT_EQ(*once, *twice) << entry.path();
    EXPECT_EQ(tokens(text), tokens(*once)) << entry.path() << "\n" << *once;
    EXPECT_EQ(comments(text), comments(*once)) << entry.path();
    const auto before = meaning(text, kernel->ports()), after = meaning(*once, kernel->ports());
    EXPECT_EQ(before, after) << entry.path();
    programs += before.has_value();
  }
  EXPECT_GT(formatted_scripts, 150U);
  EXPECT_GT(programs, 80U);
}

// No code without a case, save what no file here could hold.
TEST(Golden, every_diagnostic_has_a_case) {
  std::string all;
  for (const auto& entry : fs::recursive_directory_iterator(golden())) {
    if (entry.path().extension() == ".out") all += read(entry.path());
  }
  for (const auto& code : all_codes()) {
    if (code.code == "E006" || code.code == "E134") continue;  // limits_test.cpp
    EXPECT_NE(all.find(std::string(code.code) + ": "), std::string::npos)
        << code.code << ' ' << code.name;
  }
}

}  // namespace
}  // namespace vitrine::vmipl
