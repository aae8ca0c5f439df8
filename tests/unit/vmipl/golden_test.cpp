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

// Diagnostics for programs.
TEST(Golden, json) {
  cases("json", [](const Source& source) {
    Diagnostics diagnostics;
    (void)check(source, {}, diagnostics);
    return render_json(source, diagnostics);
  });
}

}  // namespace
}  // namespace vitrine::vmipl
