#include <gtest/gtest.h>

#include <string>

#include "machine/qemu_ram.h"

namespace vitrine {
namespace {

bool says(const std::string& hint, std::string_view word) {
  return hint.find(word) != std::string::npos;
}

TEST(Denied, TheHintIsOneThatHelps) {
  EXPECT_TRUE(says(hint_when_denied(std::nullopt, ""), "CAP_SYS_PTRACE"));
  EXPECT_FALSE(says(hint_when_denied(std::nullopt, "0"), "ptrace_scope"));
  EXPECT_TRUE(says(hint_when_denied(std::nullopt, "1"), "ptrace_scope is 1: use sudo"));
  EXPECT_TRUE(says(hint_when_denied(std::nullopt, "2"), "ptrace_scope is 2: use sudo"));
  EXPECT_TRUE(says(hint_when_denied(64055, "1"),
                   "use sudo, or give this program CAP_SYS_PTRACE: it runs as uid 64055"));
}

TEST(Denied, ScopeThreeIsClosedToRootToo) {
  for (const auto user : {std::optional<std::uint32_t>(), std::optional<std::uint32_t>(64055)}) {
    const auto hint = hint_when_denied(user, "3");
    EXPECT_FALSE(says(hint, "sudo"));
    EXPECT_TRUE(says(hint, "share=on"));
  }
}

}  // namespace
}  // namespace vitrine
