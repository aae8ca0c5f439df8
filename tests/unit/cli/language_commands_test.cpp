// check, explain, fmt, probes: their words, what they print, and their exit statuses.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "unit/cli/fake_world.h"
#include "vmipl/codes.h"

namespace vitrine::cli::test {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("vitrine-test-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

TEST(Check, ASoundScriptIsSaidToBe) {
  const auto made = run({"check", "-e", "Syscall(openat) { @opens[process.name] = count() }"}, {});
  EXPECT_EQ(made.status, Status::done);
  EXPECT_EQ(made.out, "<-e>: 1 probe, sound as far as can be known without a kernel\n");
}

TEST(Check, WhatOnlyAKernelKnowsIsNamed) {
  const auto made =
      run({"check", "-e", "ExecuteAt(do_exit) { Print(\"%s\\n\", process.name) }"}, {});
  EXPECT_EQ(made.status, Status::done);
  EXPECT_NE(made.out.find("taken for symbols of the kernel: do_exit"), std::string::npos)
      << made.out;
  EXPECT_NE(made.out.find("--vm VM or --kernel FILE"), std::string::npos);
}

TEST(Check, MistakesFail) {
  const Folder folder;
  const auto path = folder.file("a.vmi", "Syscal { }\n");
  const auto made = run({"check", path}, {});
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_NE(made.out.find("a.vmi:1:1: error E050"), std::string::npos) << made.out;
  EXPECT_NE(made.out.find("did you mean Syscall?"), std::string::npos);
}

TEST(Check, SeveralFilesEachByItsName) {
  const Folder folder;
  const auto good = folder.file("good.vmi", "Start { Print(\"hello\\n\") }\n");
  const auto bad = folder.file("bad.vmi", "Start { Print() }\n");
  const auto made = run({"check", good, bad}, {});
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_NE(made.out.find("good.vmi: 1 probe"), std::string::npos) << made.out;
  EXPECT_NE(made.out.find("bad.vmi:1:9: error E070"), std::string::npos) << made.out;
}

TEST(Check, WarningsFailOnlyWhereStrict) {
  const std::string text = "Start { let unused = 1 }";
  EXPECT_EQ(run({"check", "-e", text}, {}).status, Status::done);
  EXPECT_EQ(run({"check", "--strict", "-e", text}, {}).status, Status::failed);
  const auto silenced = run({"check", "--strict", "--allow", "unused-let", "-e", text}, {});
  EXPECT_EQ(silenced.status, Status::done);
  EXPECT_EQ(silenced.out.find("W001"), std::string::npos);
}

TEST(Check, ViewsAreKnownWithoutAMachine) {
  const auto made =
      run({"check", "-e", "Every(1s) { for (t in thing) Print(\"%s\\n\", t.name) }"}, {});
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_NE(made.out.find("did you mean things?"), std::string::npos) << made.out;
  const auto column =
      run({"check", "-e", "Every(1s) { for (t in things) Print(\"%s\\n\", t.nam) }"}, {});
  EXPECT_NE(column.out.find("E064"), std::string::npos) << column.out;
}

TEST(Check, PermissionsAreNamed) {
  const auto made = run({"check", "-e", "Start { Pause() WriteMemory(0x1000, (u32)1) }"}, {});
  EXPECT_EQ(made.status, Status::done);
  EXPECT_NE(made.out.find("needs --allow-control and --allow-writes"), std::string::npos)
      << made.out;
}

TEST(Check, JsonIsAnObjectALine) {
  const auto made = run({"check", "--json", "-e", "Syscal { }\nStart { Prnt() }\n"}, {});
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_GE(std::ranges::count(made.out, '\n'), 2);
  EXPECT_TRUE(made.out.starts_with("{\"type\":\"diagnostic\",\"file\":\"<-e>\",\"line\":1,"))
      << made.out;
}

TEST(Check, ASavedKernelKnowsSymbolsAndTypes) {
  const Folder folder;
  const auto kernel =
      folder.file("k",
                  "vitrine-kernel 1\nrelease 6.1.0-test\nsymbol ffffffff81000100 T do_exit\n"
                  "struct task_struct 64\nmember pid 0 0 s32\n");
  const auto good = run({"check", "--kernel", kernel, "-e",
                         "ExecuteAt(do_exit) { Print(\"%d\\n\", thread.task->pid) }"},
                        {});
  EXPECT_EQ(good.status, Status::done) << good.out << good.err;
  EXPECT_EQ(good.out, "<-e>: 1 probe, sound on Linux 6.1.0-test\n");
  const auto bad = run({"check", "--kernel", kernel, "-e",
                        "ExecuteAt(do_exot) { Print(\"%d\\n\", thread.task->pidd) }"},
                       {});
  EXPECT_EQ(bad.status, Status::failed);
  EXPECT_NE(bad.out.find("E058"), std::string::npos) << bad.out;
  EXPECT_NE(bad.out.find("E060"), std::string::npos) << bad.out;
}

TEST(Check, PeriodsAndLimits) {
  const auto made = run({"check", "--poll-period", "50ms", "--rate-limit", "1000", "-e",
                         "Configuration { PollPeriod: 1s RateLimit: 0 } Every(1s) { }"},
                        {});
  EXPECT_EQ(made.status, Status::done) << made.out << made.err;
  for (const char* wrong : {"x", "0", "-1s", "10", "2d", "100us"}) {
    const auto bad =
        run({"check", std::string("--poll-period=") + wrong, "-e", "Every(1s) { }"}, {});
    // A bare number is seconds.
    EXPECT_EQ(bad.status, std::string_view(wrong) == "10" ? Status::done : Status::misused)
        << wrong;
  }
  for (const char* wrong : {"x", "-1", "1.5", "9999999999", ""})
    EXPECT_EQ(
        run({"check", std::string("--rate-limit=") + wrong, "-e", "Every(1s) { }"}, {}).status,
        Status::misused)
        << wrong;
}

TEST(Check, WrongWordsAndFiles) {
  EXPECT_EQ(run({"check"}, {}).status, Status::misused);
  EXPECT_EQ(run({"check", "/nonexistent.vmi"}, {}).status, Status::failed);
  EXPECT_EQ(run({"check", "/"}, {}).status, Status::failed);
  EXPECT_EQ(run({"check", "--kernel", "/dev/null", "-e", "Start { Print(\"a\") }"}, {}).status,
            Status::failed);
}

TEST(Check, AFileThatCannotBeReadHidesNoOther) {
  const Folder folder;
  const auto good = folder.file("good.vmi", "Start{Print(\"hello\\n\")}\n");
  const auto made = run({"check", "/nonexistent.vmi", good}, {});
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_NE(made.out.find("good.vmi: 1 probe"), std::string::npos) << made.out;
  EXPECT_NE(made.err.find("/nonexistent.vmi"), std::string::npos) << made.err;
  EXPECT_EQ(run({"fmt", "/nonexistent.vmi", good}, {}).status, Status::failed);
  EXPECT_EQ(Folder::read(good), "Start { Print(\"hello\\n\") }\n");
}

TEST(Check, AnyBytesAreAnswered) {
  const Folder folder;
  for (const auto& bytes : {std::string("\xff\xfe\x00\x01", 4), std::string(1, '\0'),
                            std::string(10 * 1024 * 1024, '{'), std::string()}) {
    const auto made = run({"check", folder.file("bytes", bytes)}, {});
    EXPECT_EQ(made.status, bytes.empty() ? Status::done : Status::failed);
    EXPECT_LT(made.out.size(), 200000U);
  }
}

TEST(Fmt, InPlaceAndOnlyOnce) {
  const Folder folder;
  const auto path = folder.file("a.vmi", "Start{Print(\"a\")}");
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  EXPECT_EQ(run({"fmt", "--check", path}, {}).status, Status::failed);
  EXPECT_EQ(Folder::read(path), "Start{Print(\"a\")}");
  EXPECT_EQ(run({"fmt", path}, {}).status, Status::done);
  EXPECT_EQ(Folder::read(path), "Start { Print(\"a\") }\n");
  EXPECT_EQ(run({"fmt", "--check", path}, {}).status, Status::done);
  struct ::stat after{};
  ASSERT_EQ(::stat(path.c_str(), &after), 0);
  EXPECT_EQ(after.st_mode & 07777U, 0640U);
}

TEST(Fmt, MistakesLeaveTheFileAsItIs) {
  const Folder folder;
  const auto path = folder.file("a.vmi", "Start {");
  const auto made = run({"fmt", path}, {});
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_NE(made.err.find("E021"), std::string::npos) << made.err;
  EXPECT_EQ(Folder::read(path), "Start {");
  EXPECT_EQ(
      std::distance(fs::directory_iterator(fs::path(path).parent_path()), fs::directory_iterator()),
      1);
}

TEST(Fmt, ALinkStaysALink) {
  const Folder folder;
  const auto path = folder.file("real.vmi", "Start{Print(\"a\")}");
  const auto link = folder.path("link.vmi");
  ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
  EXPECT_EQ(run({"fmt", link}, {}).status, Status::done);
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(Folder::read(path), "Start { Print(\"a\") }\n");
}

TEST(Explain, EveryCodeByCodeAndName) {
  for (const auto& code : vmipl::all_codes()) {
    EXPECT_EQ(run({"explain", std::string(code.code)}, {}).out,
              run({"explain", std::string(code.name)}, {}).out);
  }
  EXPECT_EQ(run({"explain", "E999"}, {}).status, Status::misused);
  const auto near = run({"explain", "shadowin"}, {});
  EXPECT_NE(near.err.find("shadowing"), std::string::npos) << near.err;
  EXPECT_NE(run({"explain"}, {}).out.find("W021"), std::string::npos);
}

TEST(Probes, ByPatternInAnyCase) {
  const auto made = run({"probes", "*write*", "--json", "--columns", "name"}, {});
  EXPECT_EQ(made.status, Status::done);
  EXPECT_NE(made.out.find("MSRWrite"), std::string::npos) << made.out;
  EXPECT_EQ(made.out.find("\"Start\""), std::string::npos);
}

TEST(Probes, OneIsToldWhole) {
  const auto made = run({"probes", "portwrite"}, {});
  EXPECT_NE(made.out.find("PortWrite(port)"), std::string::npos) << made.out;
  EXPECT_NE(made.out.find("event.value"), std::string::npos);
  EXPECT_EQ(run({"probes", "Syscal"}, {}).status, Status::misused);
}

}  // namespace
}  // namespace vitrine::cli::test
