// The QMP client against a double that speaks, cuts, lies and keeps silent.
#include "machine/qmp.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <thread>

namespace vitrine {
namespace {

constexpr QmpTimeouts kShort{std::chrono::milliseconds(300), std::chrono::milliseconds(300)};
constexpr std::string_view kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}})"
    "\r\n";

/// The far end of a socket pair. `answer` gets each line that the client sends.
class FarEnd {
 public:
  using Answer = std::function<std::string(const std::string& line)>;

  FarEnd(std::string greeting, Answer answer) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    near_ = FileDescriptor(ends[0]);
    thread_ =
        std::thread([end = ends[1], greeting = std::move(greeting), answer = std::move(answer)] {
          const FileDescriptor socket(end);
          (void)!::send(end, greeting.data(), greeting.size(), MSG_NOSIGNAL);
          std::string line;
          for (char c = 0; answer && ::read(end, &c, 1) == 1;) {
            line += c;
            if (c != '\n') continue;
            const auto text = answer(line);
            line.clear();
            if (text == "hang up") return;
            if (::send(end, text.data(), text.size(), MSG_NOSIGNAL) < 0) return;
          }
        });
  }
  ~FarEnd() {
    near_.reset();
    thread_.join();
  }
  FileDescriptor take() { return std::move(near_); }

 private:
  FileDescriptor near_;
  std::thread thread_;
};

std::string id_of(const std::string& line) {
  const auto at = line.find("\"id\":");
  return line.substr(at + 5, line.find_first_of(",}", at) - at - 5);
}

std::string plain(const std::string& line) {
  const bool human = line.find("human-monitor-command") != std::string::npos;
  return R"({"return": )" + std::string(human ? R"("said \"it\"\r\n")" : "{}") + R"(, "id": )" +
         id_of(line) + "}\r\n";
}

TEST(Qmp, GreetsExecutesAndReadsVersions) {
  FarEnd far{std::string(kGreeting), plain};
  auto qmp = Qmp::adopt(far.take(), kShort);
  ASSERT_TRUE(qmp) << qmp.error().message;
  EXPECT_EQ((*qmp)->version(), "10.0.2");
  EXPECT_EQ((*qmp)->execute("query-status").value(), "{}");
  EXPECT_EQ((*qmp)->human("info status").value(), "said \"it\"\r\n");
  const std::vector<std::string> many(100, "info status");
  EXPECT_EQ((*qmp)->human(many).value().size(), 100U);
  qmp->reset();
}

TEST(Qmp, SkipsEventsAndReadsPrettyPieces) {
  FarEnd far{"{\n  \"QMP\": {\n \"x\": \"} ] {\"\n}\n}\n", [](const std::string& line) {
               return "{\"event\": \"STOP\", \"data\": {\"a\": \"}\"}}\n{\n  \"id\": " +
                      id_of(line) + ",\n  \"return\": {\n  }\n}\n";
             }};
  auto qmp = Qmp::adopt(far.take(), kShort);
  ASSERT_TRUE(qmp) << qmp.error().message;
  EXPECT_EQ((*qmp)->execute("x").value(), "{}");
  qmp->reset();
}

TEST(Qmp, ErrorsAreQemusOwnWords) {
  FarEnd far{std::string(kGreeting), [](const std::string& line) {
               if (line.find("qmp_capabilities") != std::string::npos) return plain(line);
               const bool unknown = line.find("bogus") != std::string::npos;
               return R"({"id": )" + id_of(line) + R"(, "error": {"class": ")" +
                      (unknown ? "CommandNotFound" : "GenericError") +
                      R"(", "desc": "no such thing"}})"
                      "\n";
             }};
  auto qmp = Qmp::adopt(far.take(), kShort);
  ASSERT_TRUE(qmp);
  EXPECT_EQ((*qmp)->execute("bogus").error().code, Errc::unsupported);
  const auto refused = (*qmp)->execute("device_add", R"({"driver":"x"})");
  EXPECT_EQ(refused.error().code, Errc::invalid);
  EXPECT_NE(refused.error().message.find("no such thing"), std::string::npos);
  qmp->reset();
}

TEST(Qmp, SilenceIsATimeout) {
  FarEnd far{"", nullptr};  // closes at once: not silence, but not a greeting either
  EXPECT_EQ(Qmp::adopt(far.take(), kShort).error().code, Errc::vanished);
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const FileDescriptor other(ends[1]);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Qmp::adopt(FileDescriptor(ends[0]), kShort).error().code, Errc::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Qmp, NonsenseAndCutAnswersAreErrors) {
  for (const std::string greeting : {"HTTP/1.0 400 Bad\r\n{}", "{\"QMQ\": 1}\n", "{\"QMP\": 7}\n",
                                     "{{{{]]]]\n", "{\"a\": \xff\xfe}\n"}) {
    FarEnd far{greeting, plain};
    const auto qmp = Qmp::adopt(far.take(), kShort);
    ASSERT_FALSE(qmp) << greeting;
    EXPECT_TRUE(qmp.error().code == Errc::protocol || qmp.error().code == Errc::timeout ||
                qmp.error().code == Errc::vanished);
  }
  FarEnd far{std::string(kGreeting), [](const std::string& line) {
               return line.find("qmp_cap") != std::string::npos ? plain(line)
                                                                : std::string("hang up");
             }};
  auto qmp = Qmp::adopt(far.take(), kShort);
  ASSERT_TRUE(qmp);
  EXPECT_EQ((*qmp)->human("info status").error().code, Errc::vanished);
  qmp->reset();
}

TEST(Qmp, AnEndlessAnswerIsCutOff) {
  FarEnd far{std::string(kGreeting), [](const std::string& line) {
               return line.find("qmp_cap") != std::string::npos
                          ? plain(line)
                          : "{\"return\": \"" + std::string(40 << 20, 'a');
             }};
  auto qmp = Qmp::adopt(far.take(), {std::chrono::milliseconds(300), std::chrono::seconds(20)});
  ASSERT_TRUE(qmp);
  EXPECT_EQ((*qmp)->human("x").error().code, Errc::protocol);
  qmp->reset();
}

TEST(Qmp, ObjectsInObjectsInObjectsAreNonsense) {
  FarEnd far(std::string(kGreeting), [](const std::string& line) {
    if (line.find("qmp_capabilities") != std::string::npos) return plain(line);
    return "{\"return\": " + std::string(1'000'000, '[') + std::string(1'000'000, ']') +
           ", \"id\": " + id_of(line) + "}\n";
  });
  auto qmp = Qmp::adopt(far.take(), QmpTimeouts{});
  ASSERT_TRUE(qmp.has_value());
  const auto answer = (*qmp)->execute("query-status");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Errc::protocol);
}

TEST(Qmp, Endpoints) {
  EXPECT_EQ(qmp_endpoint("tcp:[::1]:4444").host, "::1");
  EXPECT_EQ(qmp_endpoint("tcp:localhost:4444").port, "4444");
  EXPECT_EQ(qmp_endpoint("unix:/run/q").path, "/run/q");
  EXPECT_EQ(qmp_endpoint("/run/q").path, "/run/q");
  EXPECT_EQ(Qmp::connect(qmp_endpoint("/nonexistent/q")).error().code, Errc::not_found);
}

}  // namespace
}  // namespace vitrine
