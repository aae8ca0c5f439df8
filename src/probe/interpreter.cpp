#include "probe/interpreter.h"

#include <algorithm>
#include <cstring>

#include "probe/interpreter_run.h"
#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

using vmipl::Instruction;
using vmipl::Opcode;

std::uint64_t sign_extend(std::uint64_t value, unsigned bits) {
  if (bits >= 64) return value;
  const unsigned shift = 64 - bits;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << shift) >> shift);
}

std::uint64_t low_bits(std::uint64_t value, unsigned bits) {
  return bits >= 64 ? value : value & ((1ULL << bits) - 1);
}

std::int64_t as_signed(std::uint64_t value) { return static_cast<std::int64_t>(value); }

bool contains(std::string_view text, std::string_view part) {
  // Not string_view::find: that is quadratic where the guest wants it to be.
  return part.empty() || memmem(text.data(), text.size(), part.data(), part.size()) != nullptr;
}

// What an instruction costs beyond its 1, in instructions: measured, rounded up.
constexpr std::uint64_t kReadCost = 16;
constexpr std::uint64_t kMapCost = 16;
constexpr std::uint64_t kMomentCost = 64;
constexpr std::uint64_t kRowCost = 32;
constexpr std::uint64_t kEmitCost = 256;
std::uint64_t text_cost(std::size_t bytes) { return 2 + bytes / 16; }

}  // namespace

Interpreter::Interpreter(const vmipl::Program& program, MapStore& maps)
    : program_(program), maps_(maps) {
  std::size_t texts = 0;
  for (const auto& probe : program.probes) texts = std::max<std::size_t>(texts, probe.texts);
  if (texts != 0) room_ = std::make_unique_for_overwrite<char[]>(texts * kTextRoom);
}

// Verified: every index below is within its table, every jump within the probe.
Firing::End Interpreter::Run::go(const vmipl::ProgramProbe& probe) noexcept {
  using enum Opcode;
  std::uint64_t* const n = self.numbers_.data();
  std::uint8_t* const there = self.there_.data();
  std::string_view* const t = self.texts_.data();
  std::uint8_t* const text_there = self.text_there_.data();
  const Instruction* const code = program.code.data();
  const Instruction* pc = code + probe.entry;
  const auto imm = [&](const Instruction& at) { return static_cast<std::size_t>(at.imm); };

#define VITRINE_BINARY(name, expression)                                \
  case name: {                                                          \
    const std::uint64_t b = n[at.b], c = n[at.c];                       \
    n[at.a] = (expression);                                             \
    there[at.a] = static_cast<std::uint8_t>(there[at.b] & there[at.c]); \
    break;                                                              \
  }
#define VITRINE_UNARY(name, expression) \
  case name: {                          \
    const std::uint64_t b = n[at.b];    \
    n[at.a] = (expression);             \
    there[at.a] = there[at.b];          \
    break;                              \
  }
#define VITRINE_TEXTS(name, cost, expression)                         \
  case name: {                                                        \
    const bool both = text_there[at.b] != 0 && text_there[at.c] != 0; \
    const std::string_view b = both ? t[at.b] : std::string_view(),   \
                           c = both ? t[at.c] : std::string_view();   \
    if (!pay(cost)) return Firing::End::over_budget;                  \
    n[at.a] = both && (expression) ? 1 : 0;                           \
    there[at.a] = both ? 1 : 0;                                       \
    break;                                                            \
  }
#define VITRINE_PAY(cost) \
  if (!pay(cost)) return Firing::End::over_budget

  for (;;) {
    if (budget == 0 && !turn()) return Firing::End::over_budget;
    --budget;
    const Instruction at = *pc++;
    switch (at.op) {
      case halt:
        return Firing::End::done;
      case number:
        n[at.a] = program.numbers[imm(at)];
        there[at.a] = 1;
        break;
      case text:
        put(at.a, std::string_view(program.texts[imm(at)]));
        break;
        VITRINE_UNARY(move, b)
      case move_text:
        VITRINE_PAY(text_cost(text_there[at.b] != 0 ? t[at.b].size() : 0));
        copy_text(at.a, at.b);
        break;
      case lose:
        there[at.a] = 0;
        break;
      case lose_text:
        drop(at.a);
        break;
        VITRINE_BINARY(add, b + c)
        VITRINE_BINARY(sub, b - c)
        VITRINE_BINARY(mul, b * c)
      case div_s:
      case div_u:
      case rem_s:
      case rem_u: {
        const std::uint64_t b = n[at.b], c = n[at.c];
        there[at.a] = static_cast<std::uint8_t>(there[at.b] & there[at.c] & (c != 0));
        std::uint64_t value = 0;
        if (c != 0) {
          if (at.op == div_u)
            value = b / c;
          else if (at.op == rem_u)
            value = b % c;
          else if (as_signed(c) == -1)
            value = at.op == div_s ? 0 - b : 0;
          else if (at.op == div_s)
            value = static_cast<std::uint64_t>(as_signed(b) / as_signed(c));
          else
            value = static_cast<std::uint64_t>(as_signed(b) % as_signed(c));
        }
        n[at.a] = value;
        break;
      }
        VITRINE_BINARY(bit_and, b & c)
        VITRINE_BINARY(bit_or, b | c)
        VITRINE_BINARY(bit_xor, b ^ c)
        VITRINE_BINARY(shl, c > 63 ? 0 : b << c)
        VITRINE_BINARY(shr_s, static_cast<std::uint64_t>(as_signed(b) >> (c > 63 ? 63 : c)))
        VITRINE_BINARY(shr_u, c > 63 ? 0 : b >> c)
        VITRINE_UNARY(negate, 0 - b)
        VITRINE_UNARY(bit_not, ~b)
        VITRINE_UNARY(logic_not, b == 0 ? 1 : 0)
        VITRINE_UNARY(truth, b != 0 ? 1 : 0)
        VITRINE_UNARY(absolute, as_signed(b) < 0 ? 0 - b : b)
        VITRINE_BINARY(eq, b == c ? 1 : 0)
        VITRINE_BINARY(eq_su, as_signed(b) >= 0 && b == c ? 1 : 0)
        VITRINE_BINARY(lt_s, as_signed(b) < as_signed(c) ? 1 : 0)
        VITRINE_BINARY(lt_u, b < c ? 1 : 0)
        VITRINE_BINARY(lt_su, as_signed(b) < 0 || b < c ? 1 : 0)
        VITRINE_BINARY(lt_us, as_signed(c) >= 0 && b < c ? 1 : 0)
      case logic_and: {
        const bool b_false = there[at.b] != 0 && n[at.b] == 0,
                   c_false = there[at.c] != 0 && n[at.c] == 0;
        const bool both = (there[at.b] & there[at.c]) != 0;
        n[at.a] = b_false || c_false || !both ? 0 : 1;
        there[at.a] = b_false || c_false || both ? 1 : 0;
        break;
      }
      case logic_or: {
        const bool b_true = there[at.b] != 0 && n[at.b] != 0,
                   c_true = there[at.c] != 0 && n[at.c] != 0;
        const bool both = (there[at.b] & there[at.c]) != 0;
        n[at.a] = b_true || c_true ? 1 : 0;
        there[at.a] = b_true || c_true || both ? 1 : 0;
        break;
      }
        VITRINE_TEXTS(text_eq, text_cost(std::min(b.size(), c.size())), b == c)
        VITRINE_TEXTS(text_lt, text_cost(std::min(b.size(), c.size())), b < c)
      case missing:
        n[at.a] = there[at.b] != 0 ? 0 : 1;
        there[at.a] = 1;
        break;
      case missing_text:
        n[at.a] = text_there[at.b] != 0 ? 0 : 1;
        there[at.a] = 1;
        break;
        VITRINE_UNARY(extend_s, sign_extend(b, at.c))
        VITRINE_UNARY(extend_u, low_bits(b, at.c))
      case jump:
        pc = code + imm(at);
        break;
      case jump_if:
        if (there[at.b] != 0 && n[at.b] != 0) pc = code + imm(at);
        break;
      case jump_unless:
        if (there[at.b] == 0 || n[at.b] == 0) pc = code + imm(at);
        break;
      case jump_false:
        if (there[at.b] != 0 && n[at.b] == 0) pc = code + imm(at);
        break;
      case read:
      case read_physical: {
        VITRINE_PAY(kReadCost);
        if (there[at.b] == 0) {
          there[at.a] = 0;
          break;
        }
        const unsigned bytes = at.c & 0x7fU;
        const bool physical = at.op == read_physical;
        auto value =
            read_number(physical ? n[at.b] : n[at.b] + program.numbers[imm(at)], bytes, physical);
        if (value && (at.c & 0x80U) != 0) value = sign_extend(*value, bytes * 8);
        put_number(at.a, value);
        break;
      }
      case read_bits: {
        VITRINE_PAY(kReadCost);
        if (there[at.b] == 0) {
          there[at.a] = 0;
          break;
        }
        const auto* field = &program.numbers[imm(at)];
        const auto first = static_cast<unsigned>(field[1]);
        const auto width = static_cast<unsigned>(field[2] & 0xff);
        auto value = read_number(n[at.b] + field[0], (first + width + 7) / 8, false);
        if (value)
          value = (field[2] & 0x100) != 0 ? sign_extend(*value >> first, width)
                                          : low_bits(*value >> first, width);
        put_number(at.a, value);
        break;
      }
      case read_text:
        VITRINE_PAY(kReadCost);
        put(at.a, there[at.b] != 0 ? read_string(n[at.b], program.numbers[imm(at)], room(at.a))
                                   : std::nullopt);
        VITRINE_PAY(text_there[at.a] != 0 ? text_cost(t[at.a].size()) : kReadCost);
        break;
      case read_bytes: {
        VITRINE_PAY(kReadCost);
        const auto size = n[at.c];
        if ((there[at.b] & there[at.c]) == 0 || size > vmipl::kMaxTextBytes) {
          drop(at.a);
          break;
        }
        VITRINE_PAY(text_cost(size));
        const auto into = room(at.a).first(static_cast<std::size_t>(size));
        if (!environment.read(n[at.b], std::as_writable_bytes(into)))
          drop(at.a);
        else
          put(at.a, std::string_view(into.data(), into.size()));
        break;
      }
      case moment:
        VITRINE_PAY(kMomentCost);
        put_number(at.a, environment.moment(static_cast<unsigned>(at.imm)));
        break;
      case moment_text:
        VITRINE_PAY(kMomentCost * 4);
        put(at.a, environment.moment_text(static_cast<unsigned>(at.imm), room(at.a)));
        break;
      case event:
        put_number(at.a, environment.field(static_cast<unsigned>(at.imm)));
        break;
      case event_text:
        VITRINE_PAY(kMomentCost);
        put(at.a, environment.field_text(static_cast<unsigned>(at.imm), room(at.a)));
        break;
      case reg:
        VITRINE_PAY(kReadCost);
        put_number(at.a, environment.reg(static_cast<unsigned>(at.imm)));
        break;
      case symbol:
        VITRINE_PAY(kMomentCost);
        put(at.a, there[at.b] != 0 ? environment.symbol(n[at.b], room(at.a)) : std::nullopt);
        break;
      case per_cpu:
        VITRINE_PAY(kReadCost);
        put_number(at.a, (there[at.b] & there[at.c]) != 0 ? environment.per_cpu(n[at.b], n[at.c])
                                                          : std::nullopt);
        break;
      case listed: {
        VITRINE_PAY(kMomentCost);
        const auto answer = there[at.b] != 0 ? environment.listed(n[at.b]) : std::nullopt;
        there[at.a] = answer.has_value();
        n[at.a] = answer.value_or(false) ? 1 : 0;
        break;
      }
      case length:
        n[at.a] = text_there[at.b] != 0 ? t[at.b].size() : 0;
        there[at.a] = text_there[at.b];
        break;
        // A pattern of several stars may try each place of the text again.
        VITRINE_TEXTS(
            matches,
            text_cost(b.size()) + std::min<std::uint64_t>(b.size() * c.size() / 32, b.size() * 32),
            vmipl::glob_matches(c, b))
        VITRINE_TEXTS(Opcode::contains, text_cost(b.size()), vitrine::probe::contains(b, c))
        VITRINE_TEXTS(starts_with, text_cost(c.size()), b.starts_with(c))
        VITRINE_TEXTS(ends_with, text_cost(c.size()), b.ends_with(c))
      case hex: {
        if (text_there[at.b] == 0 || t[at.b].size() > kTextRoom / 2) {
          drop(at.a);
          break;
        }
        VITRINE_PAY(text_cost(t[at.b].size() * 8));
        // Source and result may share their room: from its beginning, then from the end.
        char* const into = room(at.a).data();
        std::memmove(into, t[at.b].data(), t[at.b].size());
        const std::string_view source(into, t[at.b].size());
        for (std::size_t i = source.size(); i-- > 0;) {
          const auto byte = static_cast<unsigned char>(source[i]);
          into[2 * i + 1] = "0123456789abcdef"[byte & 15U];
          into[2 * i] = "0123456789abcdef"[byte >> 4U];
        }
        put(at.a, std::string_view(into, source.size() * 2));
        break;
      }
      case lower: {
        if (text_there[at.b] == 0 || t[at.b].size() > kTextRoom) {
          drop(at.a);
          break;
        }
        VITRINE_PAY(text_cost(t[at.b].size() * 8));
        const auto source = t[at.b];
        char* const into = room(at.a).data();
        for (std::size_t i = 0; i < source.size(); ++i)
          into[i] =
              source[i] >= 'A' && source[i] <= 'Z' ? static_cast<char>(source[i] + 32) : source[i];
        put(at.a, std::string_view(into, source.size()));
        break;
      }
      case basename: {
        VITRINE_PAY(text_cost(text_there[at.b] != 0 ? t[at.b].size() : 0));
        copy_text(at.a, at.b);
        if (text_there[at.a] != 0) t[at.a] = t[at.a].substr(t[at.a].rfind('/') + 1);
        break;
      }
      case map_get: {
        VITRINE_PAY(kMapCost);
        const auto found = keys(at);
        put_number(at.a, found ? self.maps_.get(at.b, *found) : std::nullopt);
        break;
      }
      case map_get_text: {
        VITRINE_PAY(kMapCost);
        const auto found = keys(at);
        put(at.a, found ? self.maps_.get_text(at.b, *found, room(at.a)) : std::nullopt);
        break;
      }
      case map_set:
      case map_add:
      case map_update: {
        VITRINE_PAY(kMapCost);
        if (there[at.a] == 0) break;
        const auto found = keys(at);
        if (!found) break;
        if (at.op == map_set)
          self.maps_.set(at.b, *found, n[at.a]);
        else if (at.op == map_add)
          self.maps_.add(at.b, *found, n[at.a]);
        else
          self.maps_.update(at.b, *found, n[at.a]);
        break;
      }
      case map_set_text: {
        VITRINE_PAY(kMapCost);
        const auto found = keys(at);
        if (text_there[at.a] != 0 && found) self.maps_.set_text(at.b, *found, t[at.a]);
        break;
      }
      case map_delete: {
        VITRINE_PAY(kMapCost);
        if (const auto found = keys(at)) self.maps_.remove(at.b, *found);
        break;
      }
      case map_clear:
        VITRINE_PAY(kEmitCost);
        self.maps_.clear(at.b);
        break;
      case map_length:
        VITRINE_PAY(kMapCost);
        n[at.a] = self.maps_.length(at.b);
        there[at.a] = 1;
        break;
      case view_open:
        VITRINE_PAY(kEmitCost);
        uses[at.a] = at.imm;
        environment.view_open(at.a, static_cast<unsigned>(at.imm));
        break;
      case view_next:
        VITRINE_PAY(kRowCost);
        if (uses[at.a] < 0 || !environment.view_next(at.a)) {
          uses[at.a] = -1;
          pc = code + imm(at);
        }
        break;
      case column:
        put_number(at.a, column_fits(at, false)
                             ? environment.column(at.b, static_cast<unsigned>(at.imm))
                             : std::nullopt);
        break;
      case column_text:
        VITRINE_PAY(kReadCost);
        put(at.a, column_fits(at, true)
                      ? environment.column_text(at.b, static_cast<unsigned>(at.imm), room(at.a))
                      : std::nullopt);
        break;
      case emit:
        VITRINE_PAY(kEmitCost);
        if (!leave(static_cast<unsigned>(at.imm))) return Firing::End::ended;
        break;
      case count_:
        return Firing::End::done;
    }
  }
#undef VITRINE_BINARY
#undef VITRINE_UNARY
#undef VITRINE_TEXTS
#undef VITRINE_PAY
}

Firing Interpreter::run(unsigned probe, Environment& environment, std::uint64_t budget) noexcept {
  const auto& what = program_.probes[probe];
  if (what.entry == what.end) return {};
  std::memset(there_.data(), 0, what.numbers);
  std::memset(text_there_.data(), 0, what.texts);
  const auto first = std::min(budget, kSlice);
  Run run{*this, environment, program_, first, budget - first, {}};
  run.uses.fill(-1);
  const auto end = run.go(what);
  return {end, budget - run.budget - run.rest};
}

}  // namespace vitrine::probe
