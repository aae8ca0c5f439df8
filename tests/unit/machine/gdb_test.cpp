// The remote protocol: frames, stops, register descriptions; and a conversation with a double.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <thread>

#include "machine/gdb_client.h"
#include "machine/gdb_farewell.h"
#include "machine/gdb_packet.h"
#include "machine/gdb_registers.h"

namespace vitrine {
namespace {

TEST(GdbFrames, sums_and_escapes) {
  EXPECT_EQ(gdb_frame("OK"), "$OK#9a");
  GdbFrames frames;
  frames.feed("++" + gdb_frame("a#b$c}d*e"));
  EXPECT_EQ(frames.next().value(), "a#b$c}d*e");
  EXPECT_EQ(frames.next().value(), std::nullopt);
}

TEST(GdbFrames, come_in_pieces_and_write_out_runs) {
  GdbFrames frames;
  const std::string text = "noise$0* #7a";  // '0', then three more of it
  for (const char c : text) {
    EXPECT_TRUE(frames.next());
    frames.feed(std::string(1, c));
  }
  EXPECT_EQ(frames.next().value(), "0000");
}

TEST(GdbFrames, that_are_damaged_are_dropped_and_counted) {
  GdbFrames frames;
  frames.feed("$OK#00$*!#4b$OK#9a");
  EXPECT_EQ(frames.next().value(), "OK");
  EXPECT_EQ(frames.damaged(), 2U);
  frames.feed("$" + std::string(GdbFrames::kLongest + 1, 'x'));
  EXPECT_FALSE(frames.next());
}

TEST(GdbStop, is_read) {
  const auto stop = parse_gdb_stop("T05thread:02;watch:ffff888000001000;");
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->signal, 5);
  EXPECT_EQ(stop->thread, "02");
  EXPECT_EQ(stop->watched, 0xffff888000001000U);
  EXPECT_EQ(stop->access, GdbStop::write);
  EXPECT_EQ(parse_gdb_stop("W00")->kind, GdbStop::exited);
  EXPECT_EQ(parse_gdb_stop("T05thread:\x1b[2J;")->thread, "");
  for (const char* text : {"", "OK", "T", "Tzz", "E22"}) EXPECT_FALSE(parse_gdb_stop(text)) << text;
}

TEST(GdbThreads, are_read) {
  EXPECT_EQ(parse_gdb_threads("m01,02")->ids, (std::vector<std::string>{"01", "02"}));
  EXPECT_TRUE(parse_gdb_threads("l")->last);
  EXPECT_FALSE(parse_gdb_threads("m01,;"));
}

constexpr std::string_view kCore =
    R"(<feature><reg name="rax" bitsize="64"/><reg name="rip" bitsize="64" type="code_ptr"/><reg name="eflags" bitsize="32"/><reg name="cs" bitsize="32"/></feature>)";
constexpr std::string_view kSystem =
    R"(<feature name="x"> <!-- <reg name="cs_base" bitsize="64"/> --><reg name="fs_base" bitsize="64" regnum="9"/><reg name="cr3" bitsize="64"/></feature>)";

TEST(GdbRegisters, lie_where_the_description_says) {
  EXPECT_EQ(GdbRegisters::includes(
                R"(<target><xi:include href="a.xml"/><xi:include href="b.xml"/></target>)"),
            (std::vector<std::string>{"a.xml", "b.xml"}));
  const auto layout = GdbRegisters::parse({std::string(kCore), std::string(kSystem)});
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->size_bytes(), 40U);
  EXPECT_EQ(layout->find("rflags")->number, 2U);
  EXPECT_EQ(layout->find("cr3")->number, 10U);
  std::vector<std::byte> packet(40);
  packet[0] = std::byte{7};
  packet[8] = std::byte{0x34};
  packet[20] = std::byte{0x10};
  packet[32] = std::byte{9};
  const auto registers = layout->decode(packet);
  ASSERT_TRUE(registers);
  EXPECT_EQ(registers->gpr[x86::kRax], 7U);
  EXPECT_EQ(registers->rip, 0x34U);
  EXPECT_EQ(registers->cs.selector, 0x10);
  EXPECT_EQ(registers->cr3, 9U);
  EXPECT_FALSE(layout->decode(Bytes(packet).first(12)));
  EXPECT_FALSE(GdbRegisters::parse({R"(<reg name="rax" bitsize="64"/>)"}));
  EXPECT_FALSE(GdbRegisters::parse({R"(<reg name="rip" bitsize="7"/>)"}));
}

/// A gdbstub that answers by a table.
class Stub {
 public:
  explicit Stub(std::function<std::string(const std::string&)> answer) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    near_ = ends[0];
    thread_ = std::thread([far = ends[1], answer = std::move(answer)] {
      GdbFrames frames;
      char piece[4096];
      for (ssize_t got; (got = ::recv(far, piece, sizeof piece, 0)) > 0;) {
        frames.feed(std::string_view(piece, static_cast<std::size_t>(got)));
        for (auto packet = frames.next(); packet && *packet; packet = frames.next()) {
          const auto bytes = "+" + gdb_frame(answer(**packet));
          (void)!::send(far, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        }
      }
      ::close(far);
    });
  }
  ~Stub() {
    ::shutdown(near_, SHUT_RDWR);
    thread_.join();
    ::close(near_);
  }
  [[nodiscard]] int socket() const { return near_; }

 private:
  int near_ = -1;
  std::thread thread_;
};

std::string honest(const std::string& asked) {
  if (asked.starts_with("qSupported")) return "PacketSize=1000;qXfer:features:read+";
  if (asked == "?") return "T05thread:01;";
  if (asked == "qC") return "QC01";
  if (asked == "qfThreadInfo") return "m01,02";
  if (asked == "qsThreadInfo") return "l";
  if (asked.starts_with("qXfer:features:read:target.xml:0"))
    return R"(l<target><xi:include href="core.xml"/></target>)";
  if (asked.starts_with("qXfer:features:read:core.xml:0,"))
    return "m" + std::string(kCore.substr(0, 50));
  if (asked.starts_with("qXfer:features:read:core.xml:32,"))
    return "l" + std::string(kCore.substr(50));
  if (asked == "g") return "000000000000000034000000000000000000000000000000";
  if (asked.starts_with("Z2")) return "E22";
  return "OK";
}

TEST(GdbClient, talks) {
  const Stub stub(honest);
  auto client = GdbClient::begin(stub.socket());
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_EQ((*client)->threads().size(), 2U);
  EXPECT_EQ((*client)->registers("02")->rip, 0x34U);
  EXPECT_TRUE((*client)->write_register("01", "rax", 5));
  EXPECT_EQ((*client)->write_register("01", "cr9", 5).error().code, Errc::unsupported);
  EXPECT_TRUE((*client)->insert(GdbClient::Point::software, Gva{0x1000}, 1));
  EXPECT_EQ((*client)->insert(GdbClient::Point::write, Gva{0x1000}, 1).error().code,
            Errc::unsupported);
  EXPECT_TRUE((*client)->write_physical(Gpa{0x1000}, bytes_of("abc")));
  EXPECT_TRUE(farewell_to_gdbstub(stub.socket()));
}

TEST(GdbClient, refuses_what_is_no_gdbstub) {
  const Stub silent([](const std::string&) { return std::string(); });
  EXPECT_EQ(GdbClient::begin(silent.socket()).error().code, Errc::protocol);
  const Stub endless([](const std::string& asked) {
    return asked == "?" ? "S05" : asked == "qfThreadInfo" || asked == "qsThreadInfo" ? "m01" : "mx";
  });
  EXPECT_EQ(GdbClient::begin(endless.socket()).error().code, Errc::protocol);
}

}  // namespace
}  // namespace vitrine
