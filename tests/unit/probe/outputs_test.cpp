#include "probe/outputs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace vitrine::probe {
namespace {

using vmipl::Program;
using vmipl::Site;

struct Written {
  std::string text;
  std::vector<std::string> remarks;
  bool open = true;
  OutputOptions options() {
    return {.standard =
                [this](std::string_view more) {
                  text += more;
                  return open;
                },
            .flush = {},
            .remark = [this](std::string_view words) { remarks.emplace_back(words); }};
  }
};

Program program_of(std::vector<vmipl::Output> outputs);

TEST(Outputs, ASlowReaderCostsRecordsThatAreCounted) {
  Written written;
  auto options = written.options();
  std::size_t room = 8;
  options.room = [&](std::size_t bytes) { return bytes <= room; };
  bool patient = false;
  options.patient = [&] { patient = true; };
  Outputs outputs(std::move(options));
  const auto program = program_of({});
  EXPECT_TRUE(outputs.write(program, Site::kStandard, "begun"));
  EXPECT_FALSE(outputs.write(program, Site::kStandard, " and ended\n"));
  EXPECT_FALSE(outputs.write_line("{\"a\":\"long line\"}\n"));
  room = 100;
  EXPECT_TRUE(outputs.write(program, Site::kStandard, "next\n"));
  EXPECT_EQ(written.text, "begun\nnext\n");
  ASSERT_EQ(written.remarks.size(), 1U);
  ASSERT_EQ(outputs.losses().size(), 1U);
  EXPECT_EQ(outputs.losses()[0].records, 2U);
  EXPECT_EQ(outputs.losses()[0].reason, "its reader is too slow");
  EXPECT_FALSE(outputs.closed());
  outputs.wait_for_reader();
  EXPECT_TRUE(patient);
}

Program program_of(std::vector<vmipl::Output> outputs) {
  Program program;
  for (std::uint16_t i = 0; i < outputs.size(); ++i) {
    Site site;
    site.output = i;
    program.sites.push_back(site);
  }
  program.outputs = std::move(outputs);
  return program;
}

std::string folder() {
  auto path =
      std::filesystem::temp_directory_path() / ("vitrine-outputs-" + std::to_string(getpid()));
  std::filesystem::create_directories(path);
  return path.string();
}
std::string content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

TEST(Outputs, ChannelsAreNamedAndLinesKeptApart) {
  Written written;
  Outputs outputs(written.options());
  const auto program = program_of({{true, "a"}, {true, "b"}});
  ASSERT_TRUE(outputs.open(program));
  outputs.write(program, Site::kStandard, "half");
  outputs.write(program, 0, "x\ny\n");
  outputs.write(program, 1, "z");
  outputs.write(program, 1, "z\n");
  outputs.write(program, Site::kStandard, "end");
  outputs.write_line("map\n");
  EXPECT_EQ(written.text, "half\n#a x\n#a y\n#b zz\nend\nmap\n");
}

TEST(Outputs, FilesAreOpenedFirstAndEmptiedLast) {
  const auto path = folder() + "/out.txt";
  std::ofstream(path) << "what was there before";
  Written written;
  Outputs outputs(written.options());
  const auto program = program_of({{false, path}});
  ASSERT_TRUE(outputs.open(program));
  EXPECT_EQ(content(path), "what was there before")
      << "a script that does not start changes nothing";
  outputs.commit(program);
  EXPECT_EQ(content(path), "");
  EXPECT_TRUE(outputs.write(program, 0, "line\n"));
  EXPECT_EQ(content(path), "line\n");
  EXPECT_EQ(written.text, "");
  std::filesystem::remove(path);
}

TEST(Outputs, WhatCannotBeWrittenIsRefused) {
  Written written;
  Outputs outputs(written.options());
  const auto missing = outputs.open(program_of({{false, "/nowhere/at/all"}}));
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("/nowhere/at/all"), std::string::npos);
  EXPECT_FALSE(outputs.open(program_of({{false, folder()}})));
  const auto pipe = folder() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const auto unread = outputs.open(program_of({{false, pipe}}));
  ASSERT_FALSE(unread);
  EXPECT_NE(unread.error().hint.find("reader"), std::string::npos);
  std::filesystem::remove(pipe);
}

TEST(Outputs, AFullDiskAndALostReaderAreCountedLosses) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto pipe = folder() + "/pipe2";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  Written written;
  Outputs outputs(written.options());
  const auto program = program_of({{false, "/dev/full"}, {false, pipe}});
  ASSERT_TRUE(outputs.open(program));
  outputs.commit(program);
  EXPECT_FALSE(outputs.write(program, 0, "x"));
  EXPECT_FALSE(outputs.write(program, 0, "x"));
  EXPECT_TRUE(outputs.write(program, 1, "x"));
  close(reader);
  EXPECT_FALSE(outputs.write(program, 1, "x"));
  const auto losses = outputs.losses();
  ASSERT_EQ(losses.size(), 2U);
  EXPECT_EQ(losses[0].records, 2U);
  EXPECT_EQ(losses[0].reason, "No space left on device");
  EXPECT_EQ(losses[1].reason, "its reader went away");
  EXPECT_EQ(written.remarks.size(), 2U) << "each is said once";
  std::filesystem::remove(pipe);
}

TEST(Outputs, NoRecordIsCutInTwo) {
  namespace fs = std::filesystem;
  const auto folder = fs::temp_directory_path() / ("torn." + std::to_string(getpid()));
  fs::create_directory(folder);
  const auto file = folder / "file", pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  ASSERT_EQ(::fcntl(reader, F_SETPIPE_SZ, 4096), 4096);
  Written written;
  const auto program = program_of({{false, file}, {false, pipe}});
  {
    Outputs outputs(written.options());
    ASSERT_TRUE(outputs.open(program));
    outputs.commit(program);
    // A file: what found room of a record is taken back.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit small{.rlim_cur = 10, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_TRUE(outputs.write(program, 0, "first\n"));
    EXPECT_FALSE(outputs.write(program, 0, "second\n"));
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_TRUE(outputs.write(program, 0, "third\n"));
    // A pipe takes nothing back: the next record begins a line.
    EXPECT_FALSE(outputs.write(program, 1, std::string(5000, 'x')));
    EXPECT_FALSE(outputs.write(program, 1, "still full\n"));
    char buffer[8192];
    EXPECT_EQ(::read(reader, buffer, sizeof buffer), 4096);
    EXPECT_TRUE(outputs.write(program, 1, "next\n"));
    const auto count = ::read(reader, buffer, sizeof buffer);
    ASSERT_GT(count, 0);
    EXPECT_EQ(std::string(buffer, static_cast<std::size_t>(count)), "\nnext\n");
    for (const auto& loss : outputs.losses())
      EXPECT_EQ(loss.records, loss.output == file ? 1U : 2U);
  }
  std::stringstream all;
  all << std::ifstream(file).rdbuf();
  EXPECT_EQ(all.str(), "first\nthird\n");
  ::close(reader);
  fs::remove_all(folder);
}

TEST(Outputs, AReaderThatLeavesEndsTheRun) {
  Written written;
  Outputs outputs(written.options());
  const auto program = program_of({});
  written.open = false;
  EXPECT_FALSE(outputs.write(program, Site::kStandard, "x"));
  EXPECT_TRUE(outputs.closed());
}

}  // namespace
}  // namespace vitrine::probe
