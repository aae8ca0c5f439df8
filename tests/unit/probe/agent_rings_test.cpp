// The records of programs that take each other's place.
#include "probe/agent/agent_rings.h"

#include <gtest/gtest.h>

#include <utility>

namespace vitrine::probe {
namespace {

struct Sink final : EventSink {
  void records(Bytes) override { ADD_FAILURE() << "of whichever program"; }
  void records_of(const vmipl::Program& program, Bytes bytes) override {
    got.emplace_back(&program, bytes[0]);
  }
  void fire(HeldFiring&) override {}
  void stream(std::uint32_t, Bytes) override {}
  void note(SourceNote) override {}
  std::vector<std::pair<const vmipl::Program*, std::byte>> got;
};

TEST(AgentRings, RecordsOfEveryProgramComeAndAreThatPrograms) {
  AgentRings rings;
  Sink sink;
  std::vector<std::shared_ptr<const vmipl::Program>> programs;
  std::vector<std::pair<const vmipl::Program*, std::byte>> expected;
  // Nobody came to read while one replaced the other.
  for (int i = 0; i < 4; ++i) {
    programs.push_back(std::make_shared<vmipl::Program>());
    auto memory = RingMemory::create(2, 4096);
    ASSERT_TRUE(memory);
    auto read = RingMemory::open(FileDescriptor(::dup(memory->descriptor())), 2);
    ASSERT_TRUE(read) << read.error().message;
    rings.read(std::move(*read), programs.back());
    for (std::size_t ring = 0; ring < 2; ++ring) {
      const std::vector<std::byte> record(600, std::byte(10 * i + static_cast<int>(ring)));
      RingWriter writer(*memory, ring);
      for (int j = 0; j < 8; ++j) {
        if (writer.write(record)) expected.emplace_back(programs.back().get(), record[0]);
      }
    }
  }
  while (rings.drain(sink)) continue;
  EXPECT_EQ(sink.got, expected);
  EXPECT_EQ(expected.size() + rings.lost(), 64U);
  EXPECT_GT(rings.lost(), 0U);
}

}  // namespace
}  // namespace vitrine::probe
