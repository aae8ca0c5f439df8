// The agent's protocol, plan and rings: what is written is read; what is forged is refused.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

#include "probe/agent/agent_link.h"
#include "probe/agent/message.h"
#include "probe/agent/plan.h"
#include "probe/agent/ring.h"
#include "probe/agent/vcpu_registers.h"
#include "probe/record.h"

namespace vitrine::probe {
namespace {

AgentPlan a_plan() {
  AgentPlan plan;
  plan.program = {std::byte{1}, std::byte{2}};
  AgentProbe probe;
  probe.probe = 3;
  probe.event = AgentEvent::vector;
  probe.held = true;
  probe.sites = {{0xffffffff81000000, 14, 1}};
  probe.ranges = {{0x1000, 16}};
  probe.offsets = {7, 8};
  probe.native = {1, 2, 3};
  plan.probes = {probe, {}};
  plan.ram = {{0, 1 << 20, 0x7f0000000000}};
  plan.kernel = {0x1000, 5, true, {0xffffffff81000000}};
  plan.maps = {{{{.keys = {ValueView::of(7), ValueView::of("seven")},
                  .count = 2,
                  .sum = 9,
                  .buckets = {1, 0, 1}}},
                3},
               {}};
  plan.moments = {std::byte{9}};
  plan.tables = {1, 2, 3, 4};
  plan.rate_limit = 1000;
  return plan;
}

TEST(AgentPlan, ThereAndBack) {
  const auto plan = a_plan();
  const auto again = decode_plan(encode_plan(plan));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, plan);
}

TEST(AgentPlan, EveryCutIsRefused) {
  const auto bytes = encode_plan(a_plan());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_plan(Bytes(bytes).first(size))) << size;
  auto longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_plan(longer));
}

TEST(AgentPlan, NonsenseIsRefused) {
  auto plan = a_plan();
  plan.ring_bytes = 5000;
  EXPECT_FALSE(decode_plan(encode_plan(plan)));
  plan = a_plan();
  plan.kernel.levels = 3;
  EXPECT_FALSE(decode_plan(encode_plan(plan)));
  plan = a_plan();
  plan.ram[0].hva = ~0ULL - 5;
  EXPECT_FALSE(decode_plan(encode_plan(plan)));
  plan = a_plan();
  plan.probes[0].ranges[0].size = 0;
  EXPECT_FALSE(decode_plan(encode_plan(plan)));
}

TEST(AgentMessage, FramesOfAnotherVersionOrSizeAreRefused) {
  auto frame = encode_frame(MessageKind::unload, {});
  ASSERT_EQ(frame.size(), kFrameHead);
  EXPECT_TRUE(decode_frame_head(frame));
  auto other = frame;
  other[4] = std::byte{9};
  EXPECT_EQ(decode_frame_head(other).error().code, Errc::unsupported);
  other = frame;
  other[11] = std::byte{0xff};
  EXPECT_EQ(decode_frame_head(other).error().code, Errc::malformed);
  other = frame;
  other[0] = std::byte{0};
  EXPECT_EQ(decode_frame_head(other).error().code, Errc::malformed);
  EXPECT_FALSE(decode_frame_head(Bytes(frame).first(11)));
}

TEST(AgentMessage, AimsThereAndBack) {
  const std::vector<AgentAim> aims = {{3, {{0xffffffffc0000000, 1, 2}}, {}}, {4, {}, {{8, 16}}}};
  const auto bytes = encode(aims);
  const auto again = decode_message<std::vector<AgentAim>>(bytes);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, aims);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_message<std::vector<AgentAim>>(Bytes(bytes).first(size))) << size;
  EXPECT_FALSE(
      decode_message<std::vector<AgentAim>>(encode(std::vector<AgentAim>{{0, {}, {{8, 0}}}})));
}

TEST(AgentMessage, MapsThereAndBack) {
  MapRequest request;
  request.operation = MapRequest::update;
  request.map = 2;
  request.keys = {ValueView::of(7), ValueView::of(std::string_view("a\0b", 3)),
                  ValueView::missing(true)};
  request.value = ValueView::of(9);
  const auto again = decode_message<MapRequest>(encode(request));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, request);
  MapReply reply;
  reply.there = true;
  reply.rows.push_back({{ValueView::of(1)}, ValueView::of(2), 3, 4, 5, 6, {7, 8}});
  const auto reply_again = decode_message<MapReply>(encode(reply));
  ASSERT_TRUE(reply_again);
  EXPECT_EQ(*reply_again, reply);
}

TEST(AgentMessage, HeldCarriesRegisters) {
  Held held;
  held.vcpu = 1;
  held.token = 5;
  held.registers.rip = 0xffffffff81234567;
  held.registers.gpr[x86::kRax] = 42;
  held.syscall = 257;
  held.fields = {ValueView::of(1), ValueView::missing()};
  const auto again = decode_message<Held>(encode(held));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->registers.rip, held.registers.rip);
  EXPECT_EQ(again->registers.gpr[x86::kRax], 42U);
  EXPECT_EQ(again->syscall, 257);
  EXPECT_EQ(again->fields, held.fields);
}

// ---- rings

std::vector<std::byte> record_of(std::size_t size, int mark) {
  return std::vector<std::byte>(size, static_cast<std::byte>(mark));
}

TEST(Ring, RecordsComeInOrderAcrossTheEnd) {
  auto memory = RingMemory::create(2, 4096);
  ASSERT_TRUE(memory);
  auto other = RingMemory::open(FileDescriptor(::dup(memory->descriptor())), 2);
  ASSERT_TRUE(other) << other.error().message;
  RingWriter writer(*memory, 1);
  RingReader reader(*other, 1);
  std::vector<std::byte> got;
  for (int i = 0; i < 1000; ++i) {
    const auto size = static_cast<std::size_t>(i * 37 % 900);
    ASSERT_TRUE(writer.write(record_of(size, i)));
    ASSERT_EQ(reader.take(got), RingReader::Took::record);
    EXPECT_EQ(got, record_of(size, i));
    EXPECT_EQ(reader.take(got), RingReader::Took::nothing);
  }
  EXPECT_EQ(reader.lost(), 0U);
}

TEST(Ring, WhatFindsNoRoomIsCountedAndTheRestIsWhole) {
  auto memory = RingMemory::create(1, 4096);
  ASSERT_TRUE(memory);
  RingWriter writer(*memory, 0);
  int written = 0;
  for (int i = 0; i < 100; ++i) written += writer.write(record_of(100, i)) ? 1 : 0;
  RingReader reader(*memory, 0);
  EXPECT_EQ(reader.lost(), 100U - static_cast<unsigned>(written));
  std::vector<std::byte> got;
  for (int i = 0; i < written; ++i) {
    ASSERT_EQ(reader.take(got), RingReader::Took::record);
    EXPECT_EQ(got, record_of(100, i));
  }
  EXPECT_TRUE(writer.write(record_of(100, 1)));
}

TEST(Ring, ANonsensicalReaderMeansFull) {
  auto memory = RingMemory::create(1, 4096);
  ASSERT_TRUE(memory);
  RingWriter writer(*memory, 0);
  ASSERT_TRUE(writer.write(record_of(8, 1)));
  memory->head(0)->taken.store(1 << 20);
  EXPECT_FALSE(writer.write(record_of(8, 1)));
}

TEST(Ring, ANonsensicalWriterEndsTheReading) {
  auto memory = RingMemory::create(1, 4096);
  ASSERT_TRUE(memory);
  std::vector<std::byte> got;
  {
    RingReader reader(*memory, 0);
    memory->head(0)->written.store(1 << 20);
    EXPECT_EQ(reader.take(got), RingReader::Took::broken);
    memory->head(0)->written.store(0);
    EXPECT_EQ(reader.take(got), RingReader::Took::broken);
  }
  RingWriter writer(*memory, 0);
  ASSERT_TRUE(writer.write(record_of(8, 1)));
  const std::uint64_t length = kMaxRecord + 1;
  std::memcpy(memory->data(0), &length, sizeof length);
  RingReader reader(*memory, 0);
  EXPECT_EQ(reader.take(got), RingReader::Took::broken);
}

TEST(Ring, MemoryThatIsNoneIsRefused) {
  FileDescriptor plain(::memfd_create("plain", 0));
  ASSERT_EQ(::ftruncate(plain.get(), 8192), 0);
  EXPECT_EQ(RingMemory::open(std::move(plain), 1).error().code, Errc::malformed);  // not sealed
  EXPECT_EQ(RingMemory::open(FileDescriptor(), 1).error().code, Errc::malformed);
  auto memory = RingMemory::create(2, 4096);
  ASSERT_TRUE(memory);
  EXPECT_EQ(RingMemory::open(FileDescriptor(::dup(memory->descriptor())), 3).error().code,
            Errc::malformed);
  memory->head(1)->magic = 0;
  EXPECT_EQ(RingMemory::open(FileDescriptor(::dup(memory->descriptor())), 2).error().code,
            Errc::malformed);
}

TEST(Ring, TwoThreads) {
  auto memory = RingMemory::create(1, 65536);
  ASSERT_TRUE(memory);
  constexpr std::uint64_t kRecords = 100000;
  std::thread thread([&] {
    RingWriter writer(*memory, 0);
    for (std::uint64_t i = 0; i < kRecords; ++i) {
      while (!writer.write(std::as_bytes(std::span(&i, 1)))) std::this_thread::yield();
    }
  });
  RingReader reader(*memory, 0);
  std::vector<std::byte> got;
  for (std::uint64_t i = 0; i < kRecords;) {
    const auto took = reader.take(got);
    ASSERT_NE(took, RingReader::Took::broken);
    if (took == RingReader::Took::nothing) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(load<std::uint64_t>(got, 0), i);
    ++i;
  }
  thread.join();
}

// ---- where QEMU keeps its registers

TEST(RegisterPlaces, AreFoundByWhatWasToldAndOnlyIfAllAgrees) {
  std::vector<std::byte> object(16384, std::byte{0x11});
  std::array<std::optional<std::uint64_t>, kRegCount> told;
  const auto put = [&](std::size_t at, auto value) {
    std::memcpy(object.data() + at, &value, sizeof value);
  };
  for (std::size_t i = 0; i < kRegCount; ++i) told[i] = 0x1000 + i;
  for (const auto reg : {Reg::cs, Reg::ss, Reg::ds, Reg::es, Reg::fs, Reg::gs})
    told[static_cast<std::size_t>(reg)] = 0x10;
  constexpr std::array<Reg, 16> kOrder = {
      Reg::rax, Reg::rcx, Reg::rdx, Reg::rbx, Reg::rsp, Reg::rbp, Reg::rsi, Reg::rdi,
      Reg::r8,  Reg::r9,  Reg::r10, Reg::r11, Reg::r12, Reg::r13, Reg::r14, Reg::r15};
  const auto value = [&](Reg reg) { return *told[static_cast<std::size_t>(reg)]; };
  constexpr std::size_t kGeneral = 8000, kSegments = kGeneral + 184, kControl = kSegments + 240;
  for (std::size_t i = 0; i < 16; ++i) put(kGeneral + 8 * i, value(kOrder[i]));
  for (std::size_t i = 0; i < 6; ++i) put(kSegments + 24 * i, std::uint32_t{0x10});
  put(kSegments + 4 * 24 + 8, value(Reg::fs_base));
  put(kSegments + 5 * 24 + 8, value(Reg::gs_base));
  put(kControl, value(Reg::cr0));
  put(kControl + 16, value(Reg::cr2));
  put(kControl + 24, value(Reg::cr3));
  put(kControl + 32, value(Reg::cr4));
  const auto places = find_register_places(object, told);
  ASSERT_TRUE(places);
  EXPECT_EQ(places->general, kGeneral);
  EXPECT_EQ(places->segments, kSegments);
  EXPECT_EQ(places->control, kControl);
  put(kControl + 24, std::uint64_t{5});
  EXPECT_FALSE(find_register_places(object, told));
  put(kControl + 24, value(Reg::cr3));
  for (std::size_t i = 0; i < 16; ++i) put(512 + 8 * i, value(kOrder[i]));  // twice
  EXPECT_FALSE(find_register_places(object, told));
}

// ---- the socket's name

TEST(AgentSocket, ByTheCommandLine) {
  EXPECT_EQ(agent_socket_of({"qemu", "-plugin", "/a/vitrine-agent.so,dir=/run/x"}, 7, 0),
            "/run/x/agent-7.sock");
  EXPECT_EQ(agent_socket_of({"qemu", "-plugin", "file=/a/vitrine-agent.so,arg=dir=/run/y"}, 7, 0),
            "/run/y/agent-7.sock");
  EXPECT_EQ(agent_socket_of(
                {"qemu", "-plugin", "/a/other.so", "-plugin", "vitrine-agent.so,dir=/z"}, 8, 0),
            "/z/agent-8.sock");
  EXPECT_EQ(agent_socket_of({"qemu", "-plugin", "/a/other.so"}, 7, 0), std::nullopt);
  EXPECT_EQ(agent_socket_of({"qemu", "-plugin"}, 7, 0), std::nullopt);
}

// ---- the plugin interface

std::string_view lacking;
void* look_up(const char* name) {
  static int something = 0;
  return name == lacking ? nullptr : &something;
}

TEST(PluginApi, RefusesWithTheReason) {
  PluginInfo info{"x86_64", {2, 4}, true, {1, 1}};
  lacking = "";
  EXPECT_TRUE(find_plugin_api(info, look_up));
  lacking = "qemu_plugin_read_register";
  EXPECT_NE(find_plugin_api(info, look_up).error().message.find("qemu_plugin_read_register"),
            std::string::npos);
  lacking = "qemu_plugin_mem_get_value";  // is not in all versions
  EXPECT_TRUE(find_plugin_api(info, look_up));
  lacking = "";
  info.version.cur = 2;
  EXPECT_NE(find_plugin_api(info, look_up).error().message.find("9.1"), std::string::npos);
  info = {"aarch64", {2, 4}, true, {1, 1}};
  EXPECT_NE(find_plugin_api(info, look_up).error().message.find("aarch64"), std::string::npos);
  info = {"x86_64", {2, 4}, false, {1, 1}};
  EXPECT_FALSE(find_plugin_api(info, look_up));
}

}  // namespace
}  // namespace vitrine::probe
