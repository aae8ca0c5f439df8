#include "symptom/finding.h"

#include <gtest/gtest.h>

namespace vitrine::symptom {
namespace {

Finding sample() {
  Finding finding;
  finding.symptom = "hidden_process";
  finding.severity = Severity::critical;
  finding.technique = "T1014";
  finding.summary = "a task is missing";
  finding.message = std::string("\xff\x1b[31mred", 9);
  finding.rule = "hidden_process.vmi:5";
  finding.pid = 17;
  finding.process = "sleep";
  finding.addresses = {0xffff888003a10000};
  finding.symbols = {"do_exit"};
  finding.bytes = {std::byte{0xcc}, std::byte{0x90}};
  finding.evidence = {{"pid", "17"}, {"name", "sleep"}};
  finding.first_seen = 1'700'000'000'000'000'001;
  finding.last_seen = 1'700'000'001'000'000'000;
  finding.times = 3;
  finding.identity = 0x1234;
  return finding;
}

TEST(Finding, ComesBackFromItsBytes) {
  const auto finding = sample();
  const auto back = load_finding(save(finding));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, finding);
}

TEST(Finding, EveryCutIsRefused) {
  const auto bytes = save(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(load_finding(Bytes(bytes).first(size))) << size;
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(load_finding(longer));
}

TEST(Finding, WhatIsTooLongIsCutNotRefused) {
  auto finding = sample();
  finding.message.assign(100'000, 'x');
  finding.symbols.assign(1000, std::string(5000, 's'));
  finding.evidence.assign(1000, {std::string(2000, 'c'), std::string(2000, 'v')});
  finding.bytes.assign(10'000, std::byte{1});
  const auto bytes = save(finding);
  EXPECT_LE(bytes.size(), kMaxFindingBytes);
  const auto back = load_finding(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->message.size(), Finding::kMaxText);
  EXPECT_EQ(back->bytes.size(), Finding::kMaxBytes);
}

TEST(Finding, JsonIsSafeToLookAt) {
  const auto text = to_json(sample());
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_NE(text.find(R"("message":"\\xff\u001b[31mred")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("escaped":["message"])"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("first_seen":"2023-11-14T22:13:20.000000001Z")"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace vitrine::symptom
