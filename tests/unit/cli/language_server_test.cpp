// The language server: messages out of bytes, places as editors count them, answers.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/language_server/message_reader.h"
#include "cli/language_server/server.h"

namespace vitrine::cli {
namespace {

using Json = nlohmann::json;

std::vector<std::string> read_all(MessageReader& reader) {
  std::vector<std::string> out;
  while (const auto message = reader.next())
    out.push_back(message->trouble.empty() ? message->body : "! " + std::string(message->trouble));
  return out;
}
std::vector<std::string> read_all(std::string_view bytes) {
  MessageReader reader;
  reader.feed(bytes);
  return read_all(reader);
}
using Words = std::vector<std::string>;

TEST(MessageReader, TakesBytesInAnyPieces) {
  const auto bytes = framed("{}") + framed("") + framed("[1]");
  EXPECT_EQ(read_all(bytes), (Words{"{}", "", "[1]"}));
  MessageReader reader;
  Words out;
  for (const char c : bytes) {
    reader.feed({&c, 1});
    for (auto& message : read_all(reader)) out.push_back(std::move(message));
  }
  EXPECT_EQ(out, (Words{"{}", "", "[1]"}));
  EXPECT_FALSE(reader.unfinished());
}

TEST(MessageReader, ReadsOtherHeadersToo) {
  EXPECT_EQ(read_all("Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n"
                     "content-length:2\r\n\r\n{}"),
            Words{"{}"});
}

TEST(MessageReader, GoesOnBehindABadHeader) {
  EXPECT_EQ(read_all("Length: 2\r\n\r\n" + framed("{}")),
            (Words{"! a header without Content-Length", "{}"}));
  for (const auto* length : {"-1", "2x", "", "99999999999999999999999"})
    EXPECT_EQ(read_all("Content-Length: " + std::string(length) + "\r\n\r\n" + framed("{}")),
              (Words{"! a header without Content-Length", "{}"}))
        << length;
}

TEST(MessageReader, FindsTheNextMessageBehindAWrongLength) {
  // Too short: what is left of the body stands before the next header.
  EXPECT_EQ(read_all("Content-Length: 1\r\n\r\n{}" + framed("[1]")), (Words{"{", "[1]"}));
}

TEST(MessageReader, DropsWhatIsTooLarge) {
  MessageReader reader;
  const std::size_t length = MessageReader::kMaxBody + 1;
  reader.feed("Content-Length: " + std::to_string(length) + "\r\n\r\n");
  EXPECT_EQ(read_all(reader), Words{"! a message of more than 16 MiB"});
  EXPECT_TRUE(reader.unfinished());
  for (std::size_t sent = 0; sent < length;) {
    const auto piece = std::min<std::size_t>(length - sent, 1 << 20);
    reader.feed(std::string(piece, 'x'));
    sent += piece;
    EXPECT_TRUE(read_all(reader).empty());
  }
  reader.feed(framed("{}"));
  EXPECT_EQ(read_all(reader), Words{"{}"});
}

TEST(MessageReader, AHeaderWithoutAnEndIsDropped) {
  MessageReader reader;
  reader.feed(std::string(MessageReader::kMaxHeader + 1, 'x'));
  EXPECT_EQ(read_all(reader), Words{"! a header without an end"});
  reader.feed("\r\n\r\n" + framed("{}"));
  EXPECT_EQ(read_all(reader), (Words{"! a header without Content-Length", "{}"}));
}

TEST(EditorPosition, CountsUnitsOfUtf16) {
  const vmipl::Source source("a.vmi", "a\r\n\u00e9\U0001f600b\n");
  EXPECT_EQ(editor_position(source, 0), (EditorPosition{0, 0}));
  EXPECT_EQ(editor_position(source, 3), (EditorPosition{1, 0}));
  EXPECT_EQ(editor_position(source, 5), (EditorPosition{1, 1}));
  EXPECT_EQ(editor_position(source, 9), (EditorPosition{1, 3}));
  EXPECT_EQ(editor_position(source, 10), (EditorPosition{1, 4}));
  EXPECT_EQ(offset_of(source, {1, 0}), 3U);
  EXPECT_EQ(offset_of(source, {1, 1}), 5U);
  EXPECT_EQ(offset_of(source, {1, 2}), 5U);  // in the middle of a pair
  EXPECT_EQ(offset_of(source, {1, 3}), 9U);
  EXPECT_EQ(offset_of(source, {1, 99}), 10U);
  EXPECT_EQ(offset_of(source, {0, 99}), 1U);
  EXPECT_EQ(offset_of(source, {2, 0}), 11U);
  EXPECT_EQ(offset_of(source, {99, 0}), 11U);
}

class Server : public testing::Test {
 protected:
  Json ask(const std::string& method, Json params = Json::object()) {
    const auto out = server.handle(
        Json{{"jsonrpc", "2.0"}, {"id", ++id}, {"method", method}, {"params", params}}.dump());
    EXPECT_EQ(out.size(), 1U);
    const auto answer = Json::parse(out.at(0));
    EXPECT_EQ(answer.at("id"), id);
    return answer;
  }
  std::vector<Json> tell(const std::string& method, Json params = Json::object()) {
    std::vector<Json> out;
    for (const auto& text :
         server.handle(Json{{"jsonrpc", "2.0"}, {"method", method}, {"params", params}}.dump()))
      out.push_back(Json::parse(text));
    return out;
  }
  Json open(const std::string& text) {
    const auto out = tell("textDocument/didOpen",
                          {{"textDocument", {{"uri", "file:///a.vmi"}, {"text", text}}}});
    EXPECT_EQ(out.size(), 1U);
    return out.at(0).at("params").at("diagnostics");
  }
  static Json at(unsigned line, unsigned character) {
    return {{"textDocument", {{"uri", "file:///a.vmi"}}},
            {"position", {{"line", line}, {"character", character}}}};
  }
  static Json whole() {
    return {
        {"textDocument", {{"uri", "file:///a.vmi"}}},
        {"range",
         {{"start", {{"line", 0}, {"character", 0}}}, {"end", {{"line", 99}, {"character", 0}}}}}};
  }

  vmipl::Ports ports;
  LanguageServer server{ports, ports};
  int id = 0;
};

TEST_F(Server, BeginsAndEnds) {
  EXPECT_EQ(ask("shutdown").at("error").at("code"), -32002);
  EXPECT_EQ(ask("initialize").at("result").at("capabilities").at("positionEncoding"), "utf-16");
  EXPECT_EQ(ask("initialize").at("error").at("code"), -32600);
  EXPECT_TRUE(tell("initialized").empty());
  EXPECT_TRUE(ask("shutdown").at("result").is_null());
  EXPECT_EQ(ask("textDocument/hover", at(0, 0)).at("error").at("code"), -32600);
  EXPECT_FALSE(server.ended());
  EXPECT_TRUE(tell("exit").empty());
  EXPECT_TRUE(server.ended());
  EXPECT_TRUE(server.shut_down());
}

TEST_F(Server, SaysWhatIsNoRequest) {
  const auto code = [&](std::string_view message) {
    const auto out = server.handle(message);
    return out.size() == 1 ? Json::parse(out[0]).at("error").at("code").get<int>() : 0;
  };
  EXPECT_EQ(code("{"), -32700);
  EXPECT_EQ(code("\xff"), -32700);
  EXPECT_EQ(code("[]"), -32600);
  EXPECT_EQ(code("{}"), -32600);
  EXPECT_EQ(code(R"({"id":{},"method":"initialize"})"), -32600);
  EXPECT_EQ(code(R"({"id":1,"method":7})"), -32600);
  EXPECT_EQ(code(std::string(100'000, '[')), -32700);
  EXPECT_TRUE(server.handle(R"({"id":1,"result":null})").empty());
  (void)ask("initialize");
  EXPECT_EQ(ask("workspace/nothing").at("error").at("code"), -32601);
  EXPECT_EQ(ask("textDocument/hover", at(0, 0)).at("error").at("code"), -32602);
  EXPECT_EQ(ask("textDocument/hover").at("error").at("code"), -32602);
  (void)open("Start { }");
  EXPECT_EQ(ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.vmi"}}}})
                .at("error")
                .at("code"),
            -32602);
  EXPECT_TRUE(tell("$/cancelRequest", {{"id", 1}}).empty());
  EXPECT_TRUE(tell("textDocument/didChange").empty());
}

TEST_F(Server, TellsMistakesAsTheyAreWritten) {
  (void)ask("initialize");
  const auto told = open("/* \U0001f600 */ Syscal(openat) { @ = count() }\n");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].at("code"), "E050");
  EXPECT_EQ(told[0].at("severity"), 1);
  EXPECT_EQ(told[0].at("range").at("start"), (Json{{"line", 0}, {"character", 9}}));
  EXPECT_EQ(told[0].at("range").at("end"), (Json{{"line", 0}, {"character", 15}}));
  const auto actions = ask("textDocument/codeAction", whole()).at("result");
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].at("title"), "write Syscall");
  const auto& edit = actions[0].at("edit").at("changes").at("file:///a.vmi").at(0);
  EXPECT_EQ(edit.at("newText"), "Syscall");
  EXPECT_EQ(edit.at("range"), told[0].at("range"));
  const auto out =
      tell("textDocument/didChange", {{"textDocument", {{"uri", "file:///a.vmi"}, {"version", 2}}},
                                      {"contentChanges", Json::array({{{"text", "Start { }"}}})}});
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].at("params").at("diagnostics").at(0).at("code"), "W014");
  EXPECT_EQ(ask("textDocument/codeAction", whole()).at("result").at(0).at("title"),
            "silence empty-block here");
  const auto closed = tell("textDocument/didClose", {{"textDocument", {{"uri", "file:///a.vmi"}}}});
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_TRUE(closed[0].at("params").at("diagnostics").empty());
}

TEST_F(Server, NotesPointToTheOtherPlace) {
  (void)ask("initialize");
  const auto told = open("ProcessExec { @a[process.pid] = count() @a[process.name] = count() }");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].at("relatedInformation").at(0).at("location").at("range").at("start"),
            (Json{{"line", 0}, {"character", 14}}));
}

TEST_F(Server, Answers) {
  (void)ask("initialize");
  (void)open("const limit = 3\nStart   { Print(\"%d\\n\", limit) }\n");
  EXPECT_EQ(ask("textDocument/definition", at(1, 25)).at("result").at("range").at("start"),
            (Json{{"line", 0}, {"character", 6}}));
  EXPECT_TRUE(ask("textDocument/definition", at(1, 1)).at("result").is_null());
  EXPECT_NE(ask("textDocument/hover", at(1, 1))
                .at("result")
                .at("contents")
                .at("value")
                .get<std::string>()
                .find("once, when the script is attached"),
            std::string::npos);
  const auto words = ask("textDocument/completion", at(1, 27)).at("result");
  ASSERT_EQ(words.size(), 1U);
  EXPECT_EQ(words[0].at("textEdit").at("newText"), "limit");
  const auto edits = ask("textDocument/formatting", at(0, 0)).at("result");
  ASSERT_EQ(edits.size(), 1U);
  EXPECT_EQ(edits[0].at("newText"), "const limit = 3\nStart { Print(\"%d\\n\", limit) }\n");
  (void)open(edits[0].at("newText"));
  EXPECT_TRUE(ask("textDocument/formatting", at(0, 0)).at("result").empty());
  (void)open("Start {");
  EXPECT_TRUE(ask("textDocument/formatting", at(0, 0)).at("result").is_null());
}

}  // namespace
}  // namespace vitrine::cli
