#include "fvm/supervisor/policy_remarks.h"

#include <gtest/gtest.h>

#include "symptom/symptom_names.h"

namespace vitrine::fvm {
namespace {

symptom::Pack pack() {
  symptom::Pack pack;
  pack.add({symptom::PackFile::Kind::symptoms, "a.vmi",
            "// Symptom in_a_comment {\n"
            "Symptom reverse_shell { severity: high\n text: \"Symptom quoted {\"\n"
            " Every(1s) { Report(\"x\") } }\n"
            "Symptom broken { severity: high\n text: \"t\"\n Every(1s) { Report( } }\n"});
  pack.add({symptom::PackFile::Kind::patterns, "b.yar",
            "// rule none\nprivate rule helper { condition: true }\n"
            "rule   miner : tag { condition: helper }\n"});
  return pack;
}

GuestConfig with_policy(std::string name, std::string text) {
  GuestConfig guest;
  guest.policy_name = std::move(name);
  guest.policy_text = std::move(text);
  return guest;
}

TEST(SymptomNames, OfRulesAndPatterns) {
  EXPECT_EQ(
      symptom::symptom_names(pack()),
      (std::vector<std::string>{"broken", "pattern_helper", "pattern_miner", "reverse_shell"}));
}

TEST(PolicyRemarks, SymptomThatNoRuleTellsOfIsSaidOnce) {
  Config config;
  config.usual = with_policy("usual.toml", "[symptom.reverse_shel]\nactions = [\"freeze\"]\n");
  config.guests["web1"] = config.usual;
  config.guests["web2"] = with_policy("web2.toml",
                                      "[symptom.pattern_miner]\nactions = [\"stop\"]\n"
                                      "[symptom.quite_another]\nactions = [\"stop\"]\n");
  EXPECT_EQ(policy_remarks(config, pack()),
            (std::vector<std::string>{
                "usual.toml: no rule tells of the symptom \"reverse_shel\"; did you mean "
                "\"reverse_shell\"?",
                "web2.toml: no rule tells of the symptom \"quite_another\""}));
}

TEST(PolicyRemarks, NothingToSay) {
  Config config;
  config.usual = with_policy("usual.toml", "[symptom.reverse_shell]\nactions = [\"freeze\"]\n");
  EXPECT_TRUE(policy_remarks(config, pack()).empty());
}

}  // namespace
}  // namespace vitrine::fvm
