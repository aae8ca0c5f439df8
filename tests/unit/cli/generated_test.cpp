// Documents that the program generates are as the program would generate them now.
// After a change: VITRINE_UPDATE=1 build/bin/test_cli --gtest_filter=Generated.*
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/man_page.h"
#include "cli/views_reference.h"

namespace vitrine::cli {
namespace {

void expect_fresh(const std::string& path, const std::string& now) {
  const auto file = std::filesystem::path(VITRINE_SOURCE_DIR) / path;
  if (std::getenv("VITRINE_UPDATE") != nullptr) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << now;
  }
  std::ifstream stream(file);
  const std::string found{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  EXPECT_TRUE(found == now) << path << " is stale; renew it: "
                            << "VITRINE_UPDATE=1 build/bin/test_cli --gtest_filter='Generated.*'";
}

TEST(Generated, TheManualPageIsFresh) { expect_fresh("docs/man/vitrine.1", man_page()); }

TEST(Generated, TheReferenceOfViewsIsFresh) {
  expect_fresh("docs/reference/views.md", views_reference(linux::views()));
}

}  // namespace
}  // namespace vitrine::cli
