// Fixes: each diagnostic's own, applied to the script, is rid of that mistake and makes no other.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "vmipl/check.h"
#include "vmipl/kernel_description.h"

namespace vitrine::vmipl {
namespace {

namespace fs = std::filesystem;

fs::path golden() { return fs::path(VITRINE_SOURCE_DIR) / "tests" / "golden" / "vmipl"; }

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Diagnostic> told(const std::string& text, const Ports& ports) {
  Diagnostics diagnostics;
  CheckOptions options;
  options.ports = ports;
  (void)check(Source("fixes.vmi", text), options, diagnostics);
  return diagnostics.items();
}

std::size_t errors(const std::vector<Diagnostic>& all) {
  return static_cast<std::size_t>(
      std::ranges::count_if(all, [](const Diagnostic& one) { return one.is_error(); }));
}

std::string with(std::string text, const Fix& fix) {
  return text.replace(fix.span.begin, fix.span.size(), fix.text);
}

/// All at once, from the end on; of those that overlap the first.
std::string with_all(std::string text, std::vector<Fix> fixes) {
  std::ranges::stable_sort(fixes, {}, [](const Fix& fix) { return fix.span.begin; });
  std::vector<Fix> apart;
  for (const auto& fix : fixes) {
    if (apart.empty() || fix.span.begin >= apart.back().span.end) apart.push_back(fix);
  }
  for (std::size_t i = apart.size(); i-- > 0;) text = with(std::move(text), apart[i]);
  return text;
}

void judge(const fs::path& path, const Ports& ports, std::size_t& tried) {
  const auto text = read(path);
  const auto before = told(text, ports);
  std::vector<Fix> fixes;
  for (const auto& diagnostic : before) {
    if (!diagnostic.fix) continue;
    const auto& fix = *diagnostic.fix;
    ASSERT_LE(fix.span.begin, fix.span.end) << path;
    ASSERT_LE(fix.span.end, text.size()) << path;
    ++tried;
    fixes.push_back(fix);
    const auto changed = with(text, fix);
    EXPECT_NE(changed, text) << path << ": " << diagnostic.message;
    const auto after = told(changed, ports);
    // Where many are alike not all are told: then another one is.
    EXPECT_LE(errors(after), errors(before)) << path << ": " << diagnostic.message << "\n"
                                             << changed;
    const auto here = [&](const Diagnostic& one) {
      return one.code == diagnostic.code && one.message == diagnostic.message &&
             one.span.begin == diagnostic.span.begin;
    };
    EXPECT_TRUE(std::ranges::none_of(after, here)) << path << ": " << diagnostic.message << "\n"
                                                   << changed;
  }
  if (fixes.empty()) return;
  const auto mended = with_all(text, fixes);
  EXPECT_LE(errors(told(mended, ports)), errors(before)) << path << "\n" << mended;
}

TEST(Fixes, make_no_other_mistake) {
  const auto kernel = KernelDescription::parse(read(golden() / "kernel.txt"));
  ASSERT_TRUE(kernel) << kernel.error().message;
  std::size_t tried = 0;
  for (const auto& entry : fs::recursive_directory_iterator(golden())) {
    if (entry.path().extension() != ".vmi") continue;
    judge(entry.path(), {}, tried);
    judge(entry.path(), kernel->ports(), tried);
  }
  EXPECT_GT(tried, 200U);
}

}  // namespace
}  // namespace vitrine::vmipl
