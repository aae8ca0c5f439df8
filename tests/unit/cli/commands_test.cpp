#include <gtest/gtest.h>

#include <algorithm>

#include "cli/view_run.h"
#include "unit/cli/fake_world.h"

namespace vitrine::cli::test {
namespace {

using linux::RowSink;
using linux::Tally;
using Verdict = linux::Health::Verdict;

Outcome<Tally> two_things(RowSink& rows) {
  rows.begin();
  rows.set(0, std::int64_t{1});
  rows.set(1, std::string("init"));
  rows.set(2, std::int64_t{12'900'000});
  rows.set(3, std::int64_t{62'345'000'000});
  rows.set(4, std::uint64_t{0xffff888003a10000});
  rows.set(5, std::int64_t{1'700'000'000'500'000'000});
  rows.set(6, false);
  rows.set(7, std::vector<std::string>{"/sbin/init", "two words"});
  rows.set(8, std::vector<std::string>{"HOME=/"});
  static_cast<void>(rows.end());
  rows.begin();
  rows.set(0, std::int64_t{842});
  rows.set(1, std::string("evil\x1b[31m"));
  rows.set(3, std::int64_t{500'000'000});
  static_cast<void>(rows.end());
  return Tally{};
}

Script script() {
  Script made;
  made.things = two_things;
  made.machines = {
      {.name = "web1", .pid = 4242, .user = "root", .memory_bytes = 256 * kMiB, .cpus = 2}};
  return made;
}

TEST(Show, ATableForPeople) {
  const auto made = run({"show", "things", "web1"}, script());
  EXPECT_EQ(made.status, Status::done);
  EXPECT_EQ(made.out,
            "PID  NAME              SIZE   CPU_TIME\n"
            "  1  init          12.3 MiB  1m02.345s\n"
            "842  evil\\x1b[31m         -     0.500s\n");
  EXPECT_EQ(made.err, "");
}

TEST(Show, FitsTheTerminal) {
  const auto made = run({"show", "things", "web1"}, script(), 34);
  EXPECT_EQ(made.out,
            "PID  NAME          SIZE   CPU_TIME\n"
            "  1  init      12.3 MiB  1m02.345s\n"
            "842  evil\\x1…         -     0.500s\n");
}

TEST(Show, JsonHasEveryColumnButThoseOnRequest) {
  const auto made = run({"show", "things", "web1", "--json"}, script());
  EXPECT_EQ(
      made.out,
      R"({"pid":1,"name":"init","size":12900000,"cpu_time":62.345,"address":"0xffff888003a10000",)"
      R"("started":"2023-11-14T22:13:20.500000000Z","deleted":false,"words":["/sbin/init","two words"]})"
      "\n"
      R"({"pid":842,"name":"evil\u001b[31m","size":null,"cpu_time":0.5,"address":null,"started":null,)"
      R"("deleted":null,"words":null})"
      "\n");
}

TEST(Show, JsonSaysWhichColumnsWereEscaped) {
  auto world = script();
  world.things = [](RowSink& rows) -> Outcome<Tally> {
    rows.begin();
    rows.set(1, std::string("a\xff\\"));
    rows.set(7, std::vector<std::string>{"\\fine", "\xfe"});
    rows.doubt("torn");
    static_cast<void>(rows.end());
    return Tally{};
  };
  const auto made = run({"show", "things", "web1", "--json", "--columns", "name,words"}, world);
  EXPECT_EQ(
      made.out,
      R"({"name":"a\\xff\\\\","words":["\\\\fine","\\xfe"],"escaped":["name","words"],"doubt":"torn"})"
      "\n");
  EXPECT_EQ(made.status, Status::doubtful);
}

TEST(Show, CsvFollowsRfc4180) {
  auto world = script();
  world.things = [](RowSink& rows) -> Outcome<Tally> {
    rows.begin();
    rows.set(0, std::int64_t{7});
    rows.set(1, std::string("a,\"b\"\n"));
    rows.set(3, std::int64_t{-1'500'000'000});
    rows.set(7, std::vector<std::string>{"x y", "z"});
    static_cast<void>(rows.end());
    return Tally{};
  };
  const auto made =
      run({"show", "things", "web1", "--csv", "--columns", "pid,name,cpu_time,words"}, world);
  EXPECT_EQ(made.out,
            "pid,name,cpu_time,words,doubt\r\n7,\"a,\"\"b\"\"\\x0a\",-1.5,x\\x20y z,\r\n");
}

TEST(Show, ColumnsAreChosenAddedAndTaken) {
  EXPECT_EQ(run({"show", "things", "web1", "--columns", "name,PID"}, script()).out,
            "NAME          PID\ninit            1\nevil\\x1b[31m  842\n");
  EXPECT_EQ(
      run({"show", "things", "web1", "--columns=-size,-cpu_time,+env", "--no-header"}, script())
          .out,
      "  1  init          HOME=/\n842  evil\\x1b[31m  -\n");
}

TEST(Show, SortsByValueMissingLast) {
  const auto sorted = [](const char* keys) {
    return run({"show", "things", "web1", "--columns", "pid", "--sort", keys, "--no-header"},
               script())
        .out;
  };
  EXPECT_EQ(sorted("-pid"), "842\n  1\n");
  EXPECT_EQ(sorted("size"), "  1\n842\n");
  EXPECT_EQ(sorted("-size"), "  1\n842\n");
  EXPECT_EQ(sorted("cpu_time"), "842\n  1\n");
}

TEST(Show, DoubtIsMarkedAndExplained) {
  auto world = script();
  world.things = [](RowSink& rows) -> Outcome<Tally> {
    for (const std::string_view why : {"torn", "", "parent is gone", "torn"}) {
      rows.begin();
      rows.set(0, std::int64_t{1});
      if (!why.empty()) rows.doubt(why);
      static_cast<void>(rows.end());
    }
    return Tally{
        .retries = 3, .dropped = 1, .truncated = false, .warnings = {"table at 0x10 is \x1b[1m"}};
  };
  const auto made = run({"show", "things", "web1", "--columns", "pid"}, world);
  EXPECT_EQ(made.out, "PID\n  1 ?\n  1\n  1 ??\n  1 ?\n");
  EXPECT_EQ(made.err,
            "? torn (2 rows)\n"
            "?? parent is gone (1 row)\n"
            "4 rows: 3 doubtful rows, 1 row unreadable and left out, 3 rows read again\n"
            "! table at 0x10 is \\x1b[1m\n");
  EXPECT_EQ(made.status, Status::doubtful);
}

TEST(Show, LongTablesStreamWithTheFirstRowsWidths) {
  auto world = script();
  std::size_t handed = 0;
  world.things = [&](RowSink& rows) -> Outcome<Tally> {
    for (std::int64_t pid = 0; pid < 20'000; ++pid, ++handed) {
      rows.begin();
      rows.set(0, pid);
      if (!rows.end()) break;
    }
    return Tally{};
  };
  const auto made = run({"show", "things", "web1", "--columns", "pid"}, world);
  EXPECT_EQ(std::ranges::count(made.out, '\n'), 20'001);
  EXPECT_TRUE(made.out.ends_with("\n19999\n"));
}

TEST(Words, TheOnlyMachineNeedNotBeNamed) {
  const auto made = run({"show", "things", "--columns", "pid"}, script());
  EXPECT_EQ(made.status, Status::done);
  EXPECT_EQ(made.err, "reading web1 (pid 4242), the only machine running\n");
}

TEST(Words, SeveralMachinesAreNamed) {
  auto world = script();
  world.machines.push_back({.name = "db", .pid = 4243});
  const auto made = run({"ps"}, world);
  EXPECT_EQ(made.status, Status::misused);
  EXPECT_EQ(made.err, "vitrine: which machine? 2 are running\n  web1 (pid 4242), db (pid 4243)\n");
}

TEST(Words, WrongOnesAreAnsweredWithTheNearest) {
  const auto err = [](std::vector<std::string> words) {
    const auto made = run(words, script());
    EXPECT_EQ(made.status, Status::misused);
    EXPECT_EQ(made.out, "");
    return made.err;
  };
  EXPECT_EQ(err({"pss"}),
            "vitrine: there is no command \"pss\"; did you mean ps or ss?\n  all commands: vitrine "
            "help\n");
  EXPECT_EQ(
      err({"things"}),
      "vitrine: there is no command \"things\"\n  things is a view: vitrine show things [VM]\n");
  EXPECT_EQ(err({"show", "thongs", "web1"}),
            "vitrine: there is no view \"thongs\"; did you mean things?\n"
            "  there are things and processes\n");
  EXPECT_EQ(err({"show", "things", "web1", "--columns", "pdi"}),
            "vitrine: view \"things\" has no column \"pdi\"; did you mean pid?\n"
            "  its columns: address, cpu_time, deleted, env, name, pid, size, started and words\n");
  const std::string usage = "  usage: vitrine ps [VM] [options]\n  more: vitrine help ps\n";
  EXPECT_EQ(err({"ps", "web1", "--colums", "pid"}),
            "vitrine: ps has no option --colums; did you mean --columns?\n" + usage);
  EXPECT_EQ(err({"ps", "web1", "--columns"}),
            "vitrine: --columns wants a value: --columns NAME[,NAME]\n" + usage);
  EXPECT_EQ(err({"ps", "web1", "db"}), "vitrine: one word too many: \"db\"\n" + usage);
  EXPECT_EQ(err({"sym"}),
            "vitrine: sym wants a NAME|ADDRESS\n"
            "  usage: vitrine sym [VM] NAME|ADDRESS [options]\n  more: vitrine help sym\n");
  EXPECT_EQ(err({"ps", "web1", "--pid", "1,x"}),
            "vitrine: --pid: \"x\" is no process id\n  for example: --pid 1,842\n");
}

TEST(Words, APidThatNoProcessHasIsSaid) {
  auto world = script();
  world.processes = [](RowSink& rows) -> Outcome<Tally> {
    for (const std::int64_t pid : {1, 842}) {
      rows.begin();
      rows.set(0, pid);
      static_cast<void>(rows.end());
    }
    return Tally{};
  };
  EXPECT_EQ(run({"show", "things", "web1", "--pid", "1,842"}, world).status, Status::done);
  auto made = run({"show", "things", "web1", "--pid", "842,7"}, world);
  EXPECT_EQ(made.status, Status::doubtful);
  EXPECT_EQ(made.err, "! there is no process 7\n");
  world.things = [](RowSink&) -> Outcome<Tally> { return Tally{}; };
  EXPECT_EQ(run({"show", "things", "web1", "--pid", "842"}, world).status, Status::done)
      << "a process that has no such row";
  for (const auto& words : {std::vector<std::string>{"show", "things", "web1", "--pid", "7"},
                            std::vector<std::string>{"pstree", "web1", "--pid", "7"}}) {
    made = run(words, world);
    EXPECT_EQ(made.status, Status::failed);
    EXPECT_EQ(made.err, "vitrine: there is no process 7\n  list them: vitrine ps web1\n");
  }
}

TEST(Words, APidWhereThereAreNoProcessesIsRefused) {
  static constexpr linux::Column kColumns[] = {{"name", linux::ColumnType::text, "a text"}};
  static constexpr linux::ViewInfo kNames = {"names", "names", kColumns, "by name", "name"};
  Arguments words;
  EXPECT_TRUE(plan(kNames, {}, words));
  words.options["--pid"] = {"1"};
  const auto made = plan(kNames, {}, words);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::invalid);
  EXPECT_EQ(made.error().message, "--pid: the rows of view \"names\" belong to no process");
  EXPECT_EQ(run({"lsmod", "web1", "--pid", "1"}, script()).status, Status::misused);
}

TEST(Words, ASlipThatWouldCostTheAnswerIsRefusedFirst) {
  auto made = run({"scan", "web1", "--no-default-rules", "--rules", "/nonexistent"}, script());
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_EQ(made.err, "vitrine: there is no /nonexistent\n");
  made = run({"profile", "web1", "-o", "/dev/null/x.svg"}, script());
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_EQ(made.err, "vitrine: /dev/null/x.svg cannot be written: Not a directory\n");
  EXPECT_EQ(run({"top", "web1", "--count", "0"}, script()).status, Status::misused);
  EXPECT_TRUE(run({"evidence"}, script()).err.starts_with("vitrine: evidence wants an ACTION\n"));
}

TEST(Tables, AddressesAreCutLast) {
  StringOutput out, err;
  Console console{.out = out, .err = err, .interactive = true, .width = 40};
  Table table({{.header = "LOCAL", .flexible = true, .middle = true, .whole = 21},
               {.header = "OWNER", .flexible = true, .middle = true}},
              console, {});
  table.row({"192.168.122.10:44718", "a-long-process-name[1234]:5"});
  table.finish();
  EXPECT_EQ(out.text,
            "LOCAL                 OWNER\n"
            "192.168.122.10:44718  a-long-p…e[1234]:5\n");
}

TEST(Words, AreEscapedWhenTheyAreRepeated) {
  EXPECT_EQ(run({"\x1b[2J"}, script()).err,
            "vitrine: there is no command \"\\x1b[2J\"\n  all commands: vitrine help\n");
}

TEST(Failure, AMachineThatIsNotThere) {
  const auto made = run({"ps", "web9"}, script());
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_EQ(made.err, "vitrine: no QEMU machine is called \"web9\"\n  did you mean web1?\n");
}

TEST(Failure, NoKernelYet) {
  auto world = script();
  world.no_kernel = Problem(Errc::not_found, "no Linux kernel is there: CPU 0 is in real mode",
                            "firmware; try again");
  const auto made = run({"ps", "web1"}, world);
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_EQ(made.err,
            "vitrine: no Linux kernel is there: CPU 0 is in real mode\n  firmware; try again\n");
  EXPECT_NE(run({"info", "web1"}, world).out.find("RAM: made up"), std::string::npos)
      << "info says what it can";
}

TEST(Failure, AMachineThatDiesOrReboots) {
  auto world = script();
  world.alive = false;
  auto made = run({"show", "things", "web1"}, world);
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_EQ(made.err,
            "vitrine: web1 went away while it was read\n  what was printed may be torn\n");
  world.alive = true;
  world.still_there = false;
  made = run({"show", "things", "web1"}, world);
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_EQ(made.err,
            "vitrine: web1 runs another kernel now: it rebooted while it was read\n"
            "  what was printed may be torn; run the command again\n");
}

TEST(Failure, AnUnhealthyAttachIsSaid) {
  auto world = script();
  world.health.checks = {{"task list", Verdict::failed, "does not close"}};
  const auto made = run({"show", "things", "web1"}, world);
  EXPECT_EQ(made.status, Status::doubtful);
  EXPECT_EQ(made.err, "! self-test \"task list\" failed: does not close\n");
}

TEST(Failure, WhatTheSelfTestCannotKnowIsNoFailureAndNotSureEither) {
  auto world = script();
  world.health.checks = {{"init_task", Verdict::passed, "swapper"},
                         {"memory map", Verdict::not_known, "kallsyms has no data"},
                         {"task list", Verdict::failed, "does not close"}};
  EXPECT_TRUE(run({"show", "things", "web1"}, world)
                  .err.contains("! self-test \"memory map\" not known: kallsyms has no data\n"));
  const auto people = run({"info", "web1"}, world);
  EXPECT_TRUE(
      people.out.contains("\nself-test\n"
                          "  ok         init_task: swapper\n"
                          "  not known  memory map: kallsyms has no data\n"
                          "  FAILED     task list: does not close\n"))
      << people.out;
  const auto programs = run({"info", "web1", "--json"}, world);
  EXPECT_TRUE(
      programs.out.contains(R"({"check":"init_task","ok":true,"detail":"swapper"},)"
                            R"({"check":"memory map","ok":null,"detail":"kallsyms has no data"},)"
                            R"({"check":"task list","ok":false,"detail":"does not close"}])"))
      << programs.out;
  world.health.checks.pop_back();
  EXPECT_EQ(run({"info", "web1"}, world).status, Status::doubtful);
  EXPECT_EQ(run({"show", "things", "web1"}, world).status, Status::doubtful);
  world.health.checks.pop_back();
  EXPECT_EQ(run({"info", "web1"}, world).status, Status::done);
  EXPECT_EQ(run({"show", "things", "web1"}, world).status, Status::done);
}

TEST(Sym, NamesAndAddresses) {
  EXPECT_EQ(run({"sym", "web1", "do_exit"}, script()).out,
            "           ADDRESS  TYPE  NAME     OFFSET  MODULE\n"
            "0xffffffff81000100  T     do_exit     0x0  -\n");
  EXPECT_EQ(
      run({"sym", "web1", "ffffffff81000112", "--columns", "name,offset", "--no-header"}, script())
          .out,
      "do_exit  0x12\n");
  EXPECT_EQ(run({"sym", "web1", "do_exit+0x12", "--no-header"}, script()).out,
            "0xffffffff81000112  T  do_exit  0x12  -\n");
  EXPECT_EQ(run({"sym", "web1", "do_*", "--columns", "name", "--no-header"}, script()).out,
            "do_exit\ndo_fork\n");
  EXPECT_EQ(run({"sym", "web1", "zz*"}, script()).status, Status::failed);
  const auto made = run({"sym", "web1", "do_exti"}, script());
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_TRUE(
      made.err.starts_with("vitrine: this kernel has no symbol \"do_exti\"; did you mean do_exit"))
      << made.err;
}

TEST(Mem, DumpsWhatIsThere) {
  EXPECT_EQ(
      run({"mem", "web1", "_text:17"}, script()).out,
      "ffffffff81000000  48 65 6c 6c 6f 2c 20 65  78 61 6d 69 6e 65 72 2e  |Hello, examiner.|\n"
      "ffffffff81000010  01                                                |.|\n");
  EXPECT_EQ(run({"mem", "web1", "_text+7:8", "--raw"}, script()).out, "examiner");
  EXPECT_EQ(run({"mem", "web1", "0x1000:4", "--physical", "--raw"}, script()).out, "AAAA");
}

TEST(Mem, SaysWhatIsNot) {
  const auto made = run({"mem", "web1", "0x10"}, script());
  EXPECT_EQ(made.status, Status::failed);
  EXPECT_EQ(made.err,
            "vitrine: nothing can be read at 0x10: not_present at 0x10 (pte)\n"
            "  no page is there, or it is swapped out\n");
  EXPECT_EQ(run({"mem", "web1", "_text:0"}, script()).status, Status::misused);
  EXPECT_EQ(run({"mem", "web1", "12monkeys"}, script()).status, Status::misused);
  EXPECT_EQ(run({"mem", "web1", "_text", "--raw"}, script(), 80).status, Status::misused)
      << "never onto a terminal";
}

TEST(Type, PrintsAsItIs) {
  EXPECT_EQ(run({"type", "web1", "list_head"}, script()).out,
            "struct list_head {\n\tstruct list_head *next;\n};\n");
}

TEST(Vms, ListsMachines) {
  EXPECT_EQ(run({"vms"}, script()).out,
            "NAME   PID  CPUS     MEMORY  USER  MONITOR  REMARK\n"
            "web1  4242     2  256.0 MiB  root  -        -\n");
}

TEST(Overview, FitsAScreenGroupByGroup) {
  const auto text = run({}, script()).out;
  EXPECT_LE(std::ranges::count(text, '\n'), 64);
  std::size_t longest = 0, from = 0;
  while (from < text.size()) {
    const auto end = text.find('\n', from);
    longest = std::max(longest, end - from);
    from = end + 1;
  }
  EXPECT_LE(longest, 80U);
}

TEST(Help, EveryCommandHasASummaryAndAnExample) {
  for (const auto& command : commands()) {
    if (command.hidden) continue;
    EXPECT_FALSE(command.summary.empty()) << command.name;
    EXPECT_FALSE(command.examples.empty()) << command.name;
    EXPECT_EQ(run({"help", std::string(command.name)}, script()).status, Status::done);
    EXPECT_EQ(run({std::string(command.name), "--help"}, script()).status, Status::done);
  }
}

TEST(Views, TheReferenceKeepsItsTableWhole) {
  const auto text = run({"views", "--markdown"}, script()).out;
  EXPECT_NE(text.find("| `env` | list | on request | private \\| secret |\n"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace vitrine::cli::test
