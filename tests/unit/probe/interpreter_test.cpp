#include "probe/interpreter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "probe/maps.h"
#include "unit/probe/fake_environment.h"
#include "vmipl/catalogue.h"
#include "vmipl/check.h"

namespace vitrine::probe {
namespace {

using vmipl::Instruction;
using vmipl::Opcode;
using vmipl::Operand;
using vmipl::Program;
using vmipl::ValueType;
using Number = std::optional<std::uint64_t>;
using Text = std::optional<std::string>;

constexpr std::uint64_t minus(std::uint64_t value) { return 0 - value; }

std::uint8_t probe_index(std::string_view name) {
  const auto all = vmipl::probes();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name == name) return static_cast<std::uint8_t>(i);
  }
  ADD_FAILURE() << name;
  return 0;
}

// A program of one probe, built an instruction at a time; n0..n2 and t0..t2 are the results.
struct Case {
  Program program;
  FakeEnvironment environment;
  std::set<Opcode> used;
  std::unique_ptr<LocalMaps> maps;
  Firing firing;

  Case() {
    vmipl::Site site;
    site.probe = probe_index("Print");
    site.format = "%d %d %d %s %s %s";
    for (std::uint16_t i = 0; i < 3; ++i) {
      site.operands.push_back({i});
      site.types.push_back(ValueType::integer);
    }
    for (std::uint16_t i = 0; i < 3; ++i) {
      site.operands.push_back({static_cast<std::uint16_t>(Operand::kText | i)});
      site.types.push_back(ValueType::text);
    }
    program.sites.push_back(site);
  }
  Case& add(Opcode op, unsigned a = 0, unsigned b = 0, unsigned c = 0, std::size_t imm = 0) {
    program.code.push_back({op, static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b),
                            static_cast<std::uint8_t>(c), static_cast<std::int32_t>(imm)});
    return *this;
  }
  Case& number(unsigned to, Number value) {
    if (!value) return add(Opcode::lose, to);
    program.numbers.push_back(*value);
    return add(Opcode::number, to, 0, 0, program.numbers.size() - 1);
  }
  Case& text(unsigned to, Text value) {
    if (!value) return add(Opcode::lose_text, to);
    program.texts.push_back(*value);
    return add(Opcode::text, to, 0, 0, program.texts.size() - 1);
  }
  std::size_t pool(std::uint64_t value) {
    program.numbers.push_back(value);
    return program.numbers.size() - 1;
  }
  void run(std::uint64_t budget = kEventBudget) {
    add(Opcode::emit).add(Opcode::halt);
    vmipl::ProgramProbe probe;
    probe.probe = probe_index("ExecuteAt");
    probe.end = static_cast<std::uint32_t>(program.code.size());
    probe.numbers = 8;
    probe.texts = 8;
    program.probes.push_back(probe);
    const auto refusal = vmipl::verify(program);
    ASSERT_FALSE(refusal) << refusal->why << " at " << refusal->where;
    maps = std::move(*LocalMaps::create(program.maps, {.entries = 16, .text_bytes = 65536}));
    Interpreter interpreter(program, *maps);
    firing = interpreter.run(0, environment, budget);
  }
  Number n(std::size_t i) const {
    if (environment.emitted.empty()) return 0xdeadULL;
    const auto& value = environment.emitted.back().values[i];
    return value.there ? Number(value.number) : std::nullopt;
  }
  Text t(std::size_t i) const {
    if (environment.emitted.empty()) return "nothing was emitted";
    const auto& value = environment.emitted.back().values[3 + i];
    return value.there ? Text(value.text) : std::nullopt;
  }
};

Number binary(Opcode op, Number b, Number c) {
  Case test;
  test.number(1, b).number(2, c).add(op, 0, 1, 2).run();
  return test.n(0);
}
Number unary(Opcode op, Number b, unsigned c = 0) {
  Case test;
  test.number(1, b).add(op, 0, 1, c).run();
  return test.n(0);
}
Number texts(Opcode op, Text b, Text c) {
  Case test;
  test.text(1, b).text(2, c).add(op, 0, 1, 2).run();
  return test.n(0);
}

TEST(Interpreter, BinaryOpcodes) {
  using enum Opcode;
  struct Row {
    Opcode op;
    std::uint64_t b, c;
    Number result;
  };
  const std::uint64_t least = 1ULL << 63;
  const Row rows[] = {
      {add, 2, 3, 5},
      {add, ~0ULL, 1, 0},
      {sub, 2, 3, minus(1)},
      {mul, 7, 6, 42},
      {mul, 1ULL << 63, 2, 0},
      {div_s, minus(7), 2, minus(3)},
      {div_s, 1, 0, {}},
      {div_s, least, minus(1), least},
      {div_u, minus(7), 2, (minus(7)) / 2},
      {div_u, 1, 0, {}},
      {rem_s, minus(7), 2, minus(1)},
      {rem_s, 7, 0, {}},
      {rem_s, least, minus(1), 0},
      {rem_u, 7, 4, 3},
      {rem_u, 7, 0, {}},
      {bit_and, 12, 10, 8},
      {bit_or, 12, 10, 14},
      {bit_xor, 12, 10, 6},
      {shl, 1, 63, least},
      {shl, 1, 64, 0},
      {shl, 1, minus(1), 0},
      {shr_s, minus(8), 1, minus(4)},
      {shr_s, minus(8), 64, minus(1)},
      {shr_s, 8, 64, 0},
      {shr_u, minus(1), 63, 1},
      {shr_u, minus(1), 64, 0},
      {eq, 5, 5, 1},
      {eq, 5, 6, 0},
      {eq_su, minus(1), minus(1), 0},
      {eq_su, 5, 5, 1},
      {lt_s, minus(1), 0, 1},
      {lt_s, 0, 0, 0},
      {lt_u, minus(1), 0, 0},
      {lt_u, 0, 1, 1},
      {lt_su, minus(1), 0, 1},
      {lt_su, 1, minus(1), 1},
      {lt_su, 2, 1, 0},
      {lt_us, 0, minus(1), 0},
      {lt_us, minus(1), 5, 0},
      {lt_us, 4, 5, 1},
      {logic_and, 2, 3, 1},
      {logic_and, 0, 3, 0},
      {logic_or, 0, 0, 0},
      {logic_or, 0, 9, 1},
  };
  for (const auto& row : rows)
    EXPECT_EQ(binary(row.op, row.b, row.c), row.result)
        << info(row.op).name << ' ' << row.b << ' ' << row.c;
}

TEST(Interpreter, AMissingOperandMakesTheResultMissing) {
  using enum Opcode;
  for (const auto op : {add, sub, mul, div_s, div_u, rem_s, rem_u, bit_and, bit_or, bit_xor, shl,
                        shr_s, shr_u, eq, eq_su, lt_s, lt_u, lt_su, lt_us}) {
    EXPECT_EQ(binary(op, {}, 1), std::nullopt) << info(op).name;
    EXPECT_EQ(binary(op, 1, {}), std::nullopt) << info(op).name;
  }
  for (const auto op : {Opcode::move, negate, bit_not, logic_not, truth, absolute})
    EXPECT_EQ(unary(op, {}), std::nullopt) << info(op).name;
  for (const auto op : {text_eq, text_lt, matches, contains, starts_with, ends_with}) {
    EXPECT_EQ(texts(op, {}, "a"), std::nullopt) << info(op).name;
    EXPECT_EQ(texts(op, "a", {}), std::nullopt) << info(op).name;
  }
}

TEST(Interpreter, AndAndOrKnowWhatAMissingSideCannotChange) {
  using enum Opcode;
  EXPECT_EQ(binary(logic_and, {}, 0), 0U);
  EXPECT_EQ(binary(logic_and, 0, {}), 0U);
  EXPECT_EQ(binary(logic_and, {}, 1), std::nullopt);
  EXPECT_EQ(binary(logic_and, {}, {}), std::nullopt);
  EXPECT_EQ(binary(logic_or, {}, 1), 1U);
  EXPECT_EQ(binary(logic_or, 1, {}), 1U);
  EXPECT_EQ(binary(logic_or, {}, 0), std::nullopt);
}

TEST(Interpreter, UnaryOpcodes) {
  using enum Opcode;
  EXPECT_EQ(unary(Opcode::move, 9), 9U);
  EXPECT_EQ(unary(negate, 1), minus(1));
  EXPECT_EQ(unary(bit_not, 0), ~0ULL);
  EXPECT_EQ(unary(logic_not, 0), 1U);
  EXPECT_EQ(unary(logic_not, 7), 0U);
  EXPECT_EQ(unary(truth, 7), 1U);
  EXPECT_EQ(unary(truth, 0), 0U);
  EXPECT_EQ(unary(absolute, minus(7)), 7U);
  EXPECT_EQ(unary(absolute, 7), 7U);
  EXPECT_EQ(unary(missing, 7), 0U);
  EXPECT_EQ(unary(missing, {}), 1U);
  EXPECT_EQ(unary(extend_s, 0xff, 8), ~0ULL);
  EXPECT_EQ(unary(extend_s, 0x7f, 8), 0x7fU);
  EXPECT_EQ(unary(extend_s, minus(5), 64), minus(5));
  EXPECT_EQ(unary(extend_u, 0x1ff, 8), 0xffU);
  EXPECT_EQ(unary(extend_u, ~0ULL, 64), ~0ULL);
  EXPECT_EQ(binary(per_cpu, 0x10, {}), std::nullopt);
  EXPECT_EQ(binary(per_cpu, 0x10, 2), 0x210U);
  EXPECT_EQ(unary(listed, 1), 1U);
  EXPECT_EQ(unary(listed, 2), 0U);
  EXPECT_EQ(unary(listed, {}), std::nullopt);
}

TEST(Interpreter, TextOpcodes) {
  using enum Opcode;
  EXPECT_EQ(texts(text_eq, "ab", "ab"), 1U);
  EXPECT_EQ(texts(text_eq, std::string("a\0b", 3), std::string("a\0c", 3)), 0U);
  EXPECT_EQ(texts(text_lt, "a", "b"), 1U);
  EXPECT_EQ(texts(text_lt, "b", "a"), 0U);
  EXPECT_EQ(texts(matches, "sshd", "s*d"), 1U);
  EXPECT_EQ(texts(matches, "sshd", "s?d"), 0U);
  EXPECT_EQ(texts(contains, "abc", "bc"), 1U);
  EXPECT_EQ(texts(contains, "abc", ""), 1U);
  EXPECT_EQ(texts(contains, "abc", "cb"), 0U);
  EXPECT_EQ(texts(starts_with, "abc", "ab"), 1U);
  EXPECT_EQ(texts(ends_with, "abc", "bc"), 1U);
  Case test;
  test.text(3, "/Usr/BIN").text(4, "\x01\xfe").text(5, "/x/y/Tail");
  test.add(lower, 0, 3)
      .add(hex, 1, 4)
      .add(basename, 2, 5)
      .add(length, 0, 3)
      .add(missing_text, 1, 3)
      .add(lose_text, 4)
      .add(missing_text, 2, 4)
      .run();
  EXPECT_EQ(test.t(0), "/usr/bin");
  EXPECT_EQ(test.t(1), "01fe");
  EXPECT_EQ(test.t(2), "Tail");
  EXPECT_EQ(test.n(0), 8U);
  EXPECT_EQ(test.n(1), 0U);
  EXPECT_EQ(test.n(2), 1U);
}

TEST(Interpreter, OpcodesOfTextMayWriteOverTheirOwnSource) {
  using enum Opcode;
  Case test;
  test.environment.memory = "/A/ABC";
  test.environment.memory.resize(100);
  test.number(3, 0x1000).add(read_text, 0, 3, 0, test.pool(16));
  test.add(move_text, 1, 0)
      .add(move_text, 2, 0)
      .add(lower, 0, 0)
      .add(basename, 1, 1)
      .add(hex, 1, 1)
      .add(basename, 2, 2)
      .run();
  EXPECT_EQ(test.t(0), "/a/abc");
  EXPECT_EQ(test.t(1), "414243");
  EXPECT_EQ(test.t(2), "ABC") << "what was moved is its own copy";
}

TEST(Interpreter, WhatComputesTooMuchTextIsMissing) {
  using enum Opcode;
  Case test;
  test.text(3, std::string(kTextRoom + 1, 'A')).add(lower, 0, 3).add(hex, 1, 3).run();
  EXPECT_EQ(test.t(0), std::nullopt);
  EXPECT_EQ(test.t(1), std::nullopt);
}

TEST(Interpreter, Memory) {
  using enum Opcode;
  Case test;
  test.environment.memory = std::string("\x01\x80\xff\xff\xff\xff\xff\xff\xffxyz\0rest", 17);
  test.number(3, 0x1000)
      .add(read, 0, 3, 2, test.pool(0))
      .add(read, 1, 3, 2 | 0x80, test.pool(0))
      .add(read, 2, 3, 8, test.pool(1));
  test.number(4, 9 + 0x1000)
      .add(read_text, 0, 4, 0, test.pool(8))
      .add(read_text, 1, 4, 0, test.pool(2))
      .number(5, 3)
      .add(read_bytes, 2, 4, 5)
      .run();
  EXPECT_EQ(test.n(0), 0x8001U);
  EXPECT_EQ(test.n(1), 0xffffffffffff8001U);
  EXPECT_EQ(test.n(2), 0xffffffffffffff80U);
  EXPECT_EQ(test.t(0), "xyz");
  EXPECT_EQ(test.t(1), "xy");
  EXPECT_EQ(test.t(2), "xyz");

  Case bad;
  bad.environment.memory = "abc";
  bad.number(3, 0x2000)
      .add(read, 0, 3, 4, bad.pool(0))
      .number(4, 0x1000)
      .add(read, 1, 4, 8, bad.pool(0))
      .add(read_physical, 2, 4, 1);
  bad.add(read_text, 0, 4, 0, bad.pool(100))
      .number(5, 4097)
      .add(read_bytes, 1, 4, 5)
      .number(5, minus(1))
      .add(read_bytes, 2, 4, 5)
      .run();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(bad.n(i), std::nullopt) << i;
    EXPECT_EQ(bad.t(i), std::nullopt) << i;
  }
}

TEST(Interpreter, BitFieldsAndPhysicalMemory) {
  using enum Opcode;
  Case test;
  test.environment.memory = "\xb4\x02";
  const auto plain = test.pool(0);
  test.pool(2), test.pool(4);
  const auto with_sign = test.pool(0);
  test.pool(4), test.pool(4 | 0x100);
  test.number(3, 0x1000)
      .add(read_bits, 0, 3, 0, plain)
      .add(read_bits, 1, 3, 0, with_sign)
      .number(4, 1)
      .add(read_physical, 2, 4, 1)
      .run();
  EXPECT_EQ(test.n(0), 0xdU);
  EXPECT_EQ(test.n(1), sizeof(int) != 0 ? minus(5) : 0) << "0xb of four bits";
  EXPECT_EQ(test.n(2), 2U);
}

TEST(Interpreter, JumpsAreTakenByWhatIsThere) {
  using enum Opcode;
  struct Row {
    Opcode op;
    Number value;
    bool taken;
  };
  for (const auto& row : {Row{jump_if, 1, true},
                          {jump_if, 0, false},
                          {jump_if, {}, false},
                          {jump_unless, 1, false},
                          {jump_unless, 0, true},
                          {jump_unless, {}, true},
                          {jump_false, 1, false},
                          {jump_false, 0, true},
                          {jump_false, {}, false}}) {
    Case test;
    test.number(0, 7).number(1, row.value);
    test.add(row.op, 0, 1, 0, test.program.code.size() + 2).number(0, 8).run();
    EXPECT_EQ(test.n(0), row.taken ? 7U : 8U) << info(row.op).name;
  }
  Case test;
  test.number(0, 7);
  test.add(jump, 0, 0, 0, test.program.code.size() + 2).number(0, 8).run();
  EXPECT_EQ(test.n(0), 7U);
}

TEST(Interpreter, TheMomentTheEventAndRegisters) {
  using enum Opcode;
  Case test;
  const auto moment_of = [](std::string_view group, std::string_view name) {
    return static_cast<std::size_t>(vmipl::find_moment(group, name) - vmipl::moments().data());
  };
  test.environment.moment_numbers[static_cast<unsigned>(moment_of("process", "pid"))] = 42;
  test.environment.moment_texts[static_cast<unsigned>(moment_of("process", "name"))] = "bash";
  test.environment.fields[0] = 0x1234;
  test.environment.regs[*vmipl::find_register("rax")] = 99;
  test.add(moment, 0, 0, 0, moment_of("process", "pid"))
      .add(moment_text, 0, 0, 0, moment_of("process", "name"))
      .add(moment_text, 1, 0, 0, moment_of("process", "path"));
  test.add(event, 1)
      .add(event_text, 2, 0, 0, 1)
      .add(reg, 2, 0, 0, *vmipl::find_register("rax"))
      .run();
  EXPECT_EQ(test.n(0), 42U);
  EXPECT_EQ(test.t(0), "bash");
  EXPECT_EQ(test.t(1), std::nullopt);
  EXPECT_EQ(test.n(1), 0x1234U);
  EXPECT_EQ(test.t(2), std::nullopt);
  EXPECT_EQ(test.n(2), 99U);
  Case symbols;
  symbols.number(1, 5)
      .add(symbol, 0, 1)
      .number(2, 0)
      .add(symbol, 1, 2)
      .add(lose, 2)
      .add(symbol, 2, 2)
      .run();
  EXPECT_EQ(symbols.t(0), "symbol");
  EXPECT_EQ(symbols.t(1), std::nullopt);
  EXPECT_EQ(symbols.t(2), std::nullopt);
}

TEST(Interpreter, Maps) {
  using enum Opcode;
  Case test;
  test.program.maps = {{.name = "n", .keys = {ValueType::integer, ValueType::text}},
                       {.name = "t", .value = ValueType::text},
                       {.name = "sum", .aggregate = vmipl::Aggregate::sum}};
  test.program.operands = {{4}, {static_cast<std::uint16_t>(Operand::kText | 4)}};
  test.number(4, 1).text(4, "key").number(5, 40);
  test.add(map_set, 5, 0, 2, 0)
      .number(5, 2)
      .add(map_add, 5, 0, 2, 0)
      .add(lose, 5)
      .add(map_set, 5, 0, 2, 0)
      .add(map_add, 5, 0, 2, 0)
      .add(map_get, 0, 0, 2, 0);
  test.add(map_length, 1, 0)
      .add(map_set_text, 4, 1)
      .add(map_get_text, 0, 1)
      .add(lose_text, 4)
      .add(map_set_text, 4, 1)
      .add(map_get_text, 1, 1)
      .add(map_get, 2, 0, 2, 0);
  test.number(5, 3)
      .add(map_update, 5, 2)
      .add(map_update, 5, 2)
      .add(map_get, 6, 2)
      .add(map_delete, 0, 0, 2, 0)
      .run();
  EXPECT_EQ(test.n(0), 42U) << "a missing value changes nothing";
  EXPECT_EQ(test.n(1), 1U);
  EXPECT_EQ(test.n(2), std::nullopt) << "a missing key finds nothing";
  EXPECT_EQ(test.t(0), "key");
  EXPECT_EQ(test.t(1), "key");
  EXPECT_EQ(test.maps->length(0), 1U) << "a missing key deletes nothing";
  EXPECT_EQ(test.maps->get(2, {}), 6U);
}

TEST(Interpreter, DeletingAndClearing) {
  using enum Opcode;
  Case test;
  test.program.maps = {{.name = "n", .keys = {ValueType::integer}}};
  test.program.operands = {{4}};
  for (std::uint64_t key = 0; key < 3; ++key) test.number(4, key).add(map_set, 4, 0, 1, 0);
  test.add(map_delete, 0, 0, 1, 0)
      .add(map_get, 0, 0, 1, 0)
      .add(map_length, 1, 0)
      .add(map_clear, 0, 0)
      .add(map_length, 2, 0)
      .run();
  EXPECT_EQ(test.n(0), std::nullopt);
  EXPECT_EQ(test.n(1), 2U);
  EXPECT_EQ(test.n(2), 0U);
}

TEST(Interpreter, ViewsAndColumnsOfTheRightType) {
  using enum Opcode;
  Case test;
  test.program.views = {{.view = "processes",
                         .columns = {"pid", "name"},
                         .types = {ValueType::integer, ValueType::text}}};
  test.environment.rows = {{Value(ValueView::of(1)), Value(ValueView::of("init"))},
                           {Value(ValueView::of(2)), Value(ValueView::missing(true))}};
  test.number(0, 0).add(view_open, 3);
  const auto top = test.program.code.size();
  test.add(view_next, 3, 0, 0, top + 5)
      .add(column, 1, 3, 0, 0)
      .add(add, 0, 0, 1)
      .add(column_text, 0, 3, 0, 1)
      .add(jump, 0, 0, 0, top)
      .run();
  EXPECT_EQ(test.n(0), 3U);
  EXPECT_EQ(test.t(0), std::nullopt) << "the last row's name is missing";
  // Another view stands in the slot than the verifier saw: the column is missing.
  Case other;
  other.program.views = {{.view = "a", .columns = {"pid"}, .types = {ValueType::integer}},
                         {.view = "b", .columns = {"name"}, .types = {ValueType::text}}};
  other.environment.rows = {{Value(ValueView::of(std::string_view("x")))}};
  other.add(view_open, 0, 0, 0, 1)
      .add(jump, 0, 0, 0, 3)
      .add(view_open, 0, 0, 0, 0)
      .add(view_next, 0, 0, 0, 4)
      .add(column, 0, 0, 0, 0)
      .run();
  EXPECT_EQ(other.n(0), std::nullopt);
}

TEST(Interpreter, EndsByTheBudgetAndByWhatItDoes) {
  Case endless;
  endless.add(Opcode::jump, 0, 0, 0, 0).run(1000);
  EXPECT_EQ(endless.firing.end, Firing::End::over_budget);
  EXPECT_EQ(endless.firing.spent, 1000U);
  EXPECT_TRUE(endless.environment.emitted.empty());
  EXPECT_EQ(endless.environment.turns, 0U);
  // Who is watched himself hears of a long firing that it goes on.
  Case longer;
  longer.add(Opcode::jump, 0, 0, 0, 0).run(3 * kSlice + 1);
  EXPECT_EQ(longer.firing.end, Firing::End::over_budget);
  EXPECT_EQ(longer.firing.spent, 3 * kSlice + 1);
  EXPECT_EQ(longer.environment.turns, 3U);
  Case stopped;
  stopped.environment.go_on = false;
  stopped.add(Opcode::emit).run();
  EXPECT_EQ(stopped.firing.end, Firing::End::ended);
  EXPECT_EQ(stopped.environment.emitted.size(), 1U);
  // Costly instructions are charged for what they do, and stop at the budget as well.
  Case costly;
  costly.environment.memory = std::string(5000, 'x');
  costly.number(3, 0x1000).add(Opcode::read_text, 0, 3, 0, costly.pool(4096)).run(100);
  EXPECT_EQ(costly.firing.end, Firing::End::over_budget);
}

TEST(Interpreter, AFiringBeginsWithNothing) {
  Case test;
  test.number(3, 1).run();
  EXPECT_EQ(test.n(0), std::nullopt);
  EXPECT_EQ(test.t(0), std::nullopt);
  Interpreter interpreter(test.program, *test.maps);
  test.program.code[0].op = Opcode::move;  // n3 = n0, which is missing
  test.program.code[0].imm = 0;
  EXPECT_EQ(interpreter.run(0, test.environment).end, Firing::End::done);
}

// As many loops within each other as the language takes, each over as much as it takes.
TEST(Interpreter, TheDeepestNestOfLoopsEndsByTheBudget) {
  const auto nest = [](unsigned depth) {
    std::string text = "Start {";
    for (unsigned i = 0; i < depth; ++i)
      text += fmt::format(" for (i{} in 0..9000000000000000000) {{", i);
    text += " @x += 1";
    return text + std::string(depth + 1, '}');
  };
  unsigned deepest = 0;
  std::optional<Program> program;
  for (unsigned depth = 1; depth <= 250; ++depth) {
    const vmipl::Source source("nest.vmi", nest(depth));
    vmipl::Diagnostics diagnostics;
    auto checked = vmipl::check(source, {.allow = {"all"}, .build = true}, diagnostics);
    if (!checked.program) break;
    program = std::move(checked.program);
    deepest = depth;
  }
  EXPECT_GE(deepest, 30U);
  EXPECT_LT(deepest, 250U) << "there is a limit";
  ASSERT_TRUE(program);
  const auto maps = std::move(*LocalMaps::create(program->maps));
  FakeEnvironment environment;
  Interpreter interpreter(*program, *maps);
  const auto firing = interpreter.run(0, environment, kEventBudget);
  EXPECT_EQ(firing.end, Firing::End::over_budget);
  EXPECT_EQ(firing.spent, kEventBudget);
  EXPECT_GT(*maps->get(0, {}), kEventBudget / 100) << "it was at work until then";
}

}  // namespace
}  // namespace vitrine::probe
