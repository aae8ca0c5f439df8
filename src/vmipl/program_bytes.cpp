// Programs to bytes and back. Little-endian; every count is checked before use.
//
//   "VMIPLP" 0 0 | version u32 | catalogue u32 | tables, each a count and its rows | checksum u64
#include <cstring>

#include "vmipl/catalogue.h"
#include "vmipl/program.h"

namespace vitrine::vmipl {
namespace {

constexpr char kMagic[8] = {'V', 'M', 'I', 'P', 'L', 'P', 0, 0};
constexpr std::uint32_t kVersion = 1;

std::uint64_t fnv(Bytes bytes, std::uint64_t hash = 0xcbf29ce484222325ULL) {
  for (const auto byte : bytes)
    hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3ULL;
  return hash;
}

// Programs name catalogue entries by their place: a catalogue that differs is another language.
std::uint32_t catalogue_print() {
  static const std::uint32_t print = [] {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    const auto add = [&](std::string_view text) { hash = fnv(bytes_of(text), hash) * 31 + 7; };
    for (const auto& probe : probes()) {
      add(probe.name);
      for (const auto& field : probe.fields) add(field.name);
    }
    for (const auto& moment : moments()) add(moment.name);
    for (const auto& reg : registers()) add(reg.name);
    for (const auto& key : configuration_keys()) add(key.name);
    for (std::size_t i = 0; i < static_cast<std::size_t>(Opcode::count_); ++i)
      add(info(static_cast<Opcode>(i)).name);
    return static_cast<std::uint32_t>(hash ^ (hash >> 32));
  }();
  return print;
}

class Writer {
 public:
  std::vector<std::byte> out;
  template <class T>
  void put(T value) {
    const auto at = out.size();
    out.resize(at + sizeof value);
    std::memcpy(out.data() + at, &value, sizeof value);
  }
  void operator()(std::uint8_t& v) { put(v); }
  void operator()(std::uint16_t& v) { put(v); }
  void operator()(std::uint32_t& v) { put(v); }
  void operator()(std::uint64_t& v) { put(v); }
  void operator()(std::int64_t& v) { put(v); }
  void operator()(bool& v) { put(static_cast<std::uint8_t>(v)); }
  void operator()(std::string& v) {
    put(static_cast<std::uint32_t>(v.size()));
    const auto bytes = bytes_of(v);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  template <class E>
    requires std::is_enum_v<E>
  void operator()(E& v) {
    put(static_cast<std::uint8_t>(v));
  }
  template <class T, class Row>
  void table(std::vector<T>& rows, std::size_t, Row&& row) {
    put(static_cast<std::uint32_t>(rows.size()));
    for (auto& item : rows) row(item);
  }
};

class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}
  const char* wrong = nullptr;
  [[nodiscard]] bool ended() const { return at_ == bytes_.size(); }
  template <class T>
  T get() {
    const auto value = load<T>(bytes_, at_);
    if (!value) {
      if (wrong == nullptr) wrong = "it is cut short";
      return {};
    }
    at_ += sizeof(T);
    return *value;
  }
  void operator()(std::uint8_t& v) { v = get<std::uint8_t>(); }
  void operator()(std::uint16_t& v) { v = get<std::uint16_t>(); }
  void operator()(std::uint32_t& v) { v = get<std::uint32_t>(); }
  void operator()(std::uint64_t& v) { v = get<std::uint64_t>(); }
  void operator()(std::int64_t& v) { v = get<std::int64_t>(); }
  void operator()(bool& v) {
    const auto raw = get<std::uint8_t>();
    if (raw > 1) wrong = "a truth value is neither";
    v = raw == 1;
  }
  void operator()(std::string& v) {
    const auto size = get<std::uint32_t>();
    const auto text = slice(bytes_, at_, size);
    if (!text) {
      wrong = "a text leaves the program";
      return;
    }
    v.assign(reinterpret_cast<const char*>(text->data()), text->size());
    at_ += size;
  }
  template <class E>
    requires std::is_enum_v<E>
  void operator()(E& v) {
    v = static_cast<E>(get<std::uint8_t>());
  }
  /// `least`: bytes that a row takes at least, so that a count cannot ask for more than is there.
  template <class T, class Row>
  void table(std::vector<T>& rows, std::size_t least, Row&& row) {
    const auto count = get<std::uint32_t>();
    if (wrong != nullptr) return;
    if (count > (bytes_.size() - at_) / least || count > 262144) {
      wrong = "a table leaves the program";
      return;
    }
    rows.resize(count);
    for (auto& item : rows) {
      row(item);
      if (wrong != nullptr) return;
    }
  }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
};

// One description of the format, for both ways.
template <class Io>
void exchange(Io& io, Program& p) {
  io.table(p.code, 8, [&](Instruction& i) {
    io(i.op), io(i.a), io(i.b), io(i.c);
    auto imm = static_cast<std::uint32_t>(i.imm);
    io(imm);
    i.imm = static_cast<std::int32_t>(imm);
  });
  io.table(p.numbers, 8, [&](std::uint64_t& n) { io(n); });
  io.table(p.texts, 4, [&](std::string& t) { io(t); });
  io.table(p.operands, 2, [&](Operand& o) { io(o.bits); });
  io.table(p.maps, 34, [&](MapInfo& m) {
    io(m.name);
    io.table(m.keys, 1, [&](ValueType& t) { io(t); });
    io(m.value), io(m.aggregate), io(m.low), io(m.high), io(m.step);
  });
  io.table(p.outputs, 5, [&](Output& o) { io(o.channel), io(o.name); });
  io.table(p.sites, 32, [&](Site& s) {
    io(s.probe), io(s.is_map_print), io(s.output), io(s.format), io(s.symptom);
    io.table(s.numbers, 8, [&](std::uint64_t& n) { io(n); });
    io.table(s.texts, 4, [&](std::string& t) { io(t); });
    io.table(s.operands, 2, [&](Operand& o) { io(o.bits); });
    io.table(s.types, 1, [&](ValueType& t) { io(t); });
    io(s.line);
  });
  io.table(p.probes, 25, [&](ProgramProbe& q) {
    io(q.probe);
    io.table(q.arguments, 13,
             [&](ProbeArgument& a) { io(a.kind), io(a.number_value), io(a.text_value); });
    io(q.entry), io(q.end), io(q.numbers), io(q.texts), io(q.output), io(q.line), io(q.symptom);
  });
  io.table(p.views, 12, [&](ViewUse& v) {
    io(v.view);
    io.table(v.columns, 4, [&](std::string& c) { io(c); });
    io.table(v.types, 1, [&](ValueType& t) { io(t); });
  });
  io.table(p.relocations, 19, [&](Relocation& r) {
    io(r.kind), io(r.number), io(r.name), io(r.addend), io(r.width), io(r.is_signed);
  });
  io.table(p.symptoms, 13,
           [&](SymptomInfo& s) { io(s.name), io(s.technique), io(s.text), io(s.severity); });
  io.table(p.settings, 9, [&](Setting& s) { io(s.key), io(s.value); });
  io(p.needs), io(p.fixed);
}

}  // namespace

std::vector<std::byte> save(const Program& program) {
  Writer writer;
  for (const char c : kMagic) writer.put(c);
  writer.put(kVersion);
  writer.put(catalogue_print());
  Program copy = program;
  exchange(writer, copy);
  writer.put(fnv(writer.out));
  return std::move(writer.out);
}

Result<Program> load_program(Bytes bytes) {
  constexpr std::size_t kMost = 64 * 1024 * 1024;
  if (bytes.size() > kMost)
    return fail(Errc::too_large, bytes.size(), "a program has at most 64 MiB");
  if (bytes.size() < sizeof kMagic + 16 || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return fail(Errc::malformed, 0, "this is no program");
  if (load<std::uint32_t>(bytes, 8) != kVersion ||
      load<std::uint32_t>(bytes, 12) != catalogue_print()) {
    return fail(Errc::unsupported, 8, "the program is of another version of Vitrine");
  }
  const auto body = bytes.first(bytes.size() - 8);
  // Against accidents alone: who forges a program forges this too. verify() is the judge.
  if (load<std::uint64_t>(bytes, body.size()) != fnv(body))
    return fail(Errc::malformed, body.size(), "the checksum is wrong");
  Reader reader(body.subspan(16));
  Program program;
  exchange(reader, program);
  if (reader.wrong != nullptr) return fail(Errc::malformed, 0, reader.wrong);
  if (!reader.ended()) return fail(Errc::malformed, 0, "bytes follow the program");
  if (const auto refusal = verify(program))
    return fail(Errc::malformed, refusal->where, refusal->why.data());
  return program;
}

}  // namespace vitrine::vmipl
