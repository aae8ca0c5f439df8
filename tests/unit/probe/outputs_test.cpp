#include "probe/outputs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
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
