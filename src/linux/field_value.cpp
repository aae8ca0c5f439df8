#include "linux/field_value.h"

#include <fmt/core.h>

#include <algorithm>

#include "linux/field.h"

namespace vitrine::linux {
namespace {

using btf::Kind;
using btf::Type;

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char each : text) {
    const auto character = static_cast<unsigned char>(each);
    if (each == '"' || each == '\\')
      (out += '\\') += each;
    else if (character < 0x20 || character > 0x7e)
      out += fmt::format("\\x{:02x}", character);
    else
      out += each;
  }
  return out + '"';
}

}  // namespace

Result<FieldValue> decode_value(const Type& declared, Bytes bytes, unsigned bit_shift,
                                unsigned bit_width) {
  const Type type = declared.resolved();
  const std::uint64_t size = bit_width != 0 ? (bit_shift + bit_width + 7) / 8 : type.size();
  if (size == 0) return fail(Errc::unsupported, 0, "a value without a size");
  if (size > kMaxFieldValue) return fail(Errc::too_large, 0, "a value of more than 64 KiB");
  if (bytes.size() < size) return fail(Errc::out_of_bounds, 0, "a value's bytes");
  bytes = bytes.first(size);

  const bool scalar =
      type.kind() == Kind::integer || type.kind() == Kind::pointer || type.is_enumeration();
  if (scalar && size <= 8) {
    if (bit_shift > 7 || bit_width > 64) return fail(Errc::invalid, 0, "a bit field's place");
    const unsigned bits = bit_width != 0 ? bit_width : static_cast<unsigned>(size) * 8;
    const detail::Scalar how{.bytes = static_cast<std::uint8_t>(size),
                             .shift = static_cast<std::uint8_t>(bit_shift),
                             .bits = static_cast<std::uint8_t>(bits),
                             .is_signed = type.is_signed()};
    const std::uint64_t value = how.extract(bytes.data());
    if (type.kind() == Kind::pointer) return Gva{value};
    if (type.is_enumeration()) {
      const auto number = static_cast<std::int64_t>(value);
      return EnumValue{number, type.enumerator_name(number)};
    }
    if (type.is_bool()) return value != 0;
    if (type.is_signed()) return static_cast<std::int64_t>(value);
    return value;
  }
  if (type.kind() == Kind::array && type.target().resolved().is_byte() &&
      type.target().name() != "u8" && type.target().name() != "__u8") {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    return std::string(text, strnlen(text, bytes.size()));
  }
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

Result<FieldValue> read_value(const VirtualMemory& memory, Gva object, const MemberPath& path) {
  const Route& route = path.route();
  const Gva from = TRY(route.follow(memory, object, "a path"));
  if (route.size == 0) return fail(Errc::unsupported, from.value, "a value without a size");
  if (route.size > kMaxFieldValue)
    return fail(Errc::too_large, from.value, "a value of more than 64 KiB");
  std::vector<std::byte> bytes(route.size);
  if (auto done = memory.read(from, bytes); !done)
    return fail(done.error().code, from.value, done.error().what);
  return decode_value(path.type(), bytes, route.bit_shift, route.bit_width);
}

std::string to_text(const FieldValue& value) {
  return std::visit(Overloaded{
                        [](bool is) -> std::string { return is ? "true" : "false"; },
                        [](std::int64_t number) { return fmt::format("{}", number); },
                        [](std::uint64_t number) { return fmt::format("{}", number); },
                        [](Gva address) { return fmt::format("{:#x}", address.value); },
                        [](const EnumValue& each) {
                          return each.name.empty() ? fmt::format("{}", each.value)
                                                   : fmt::format("{} ({})", each.name, each.value);
                        },
                        [](const std::string& text) { return quoted(text); },
                        [](const std::vector<std::byte>& bytes) {
                          std::string out;
                          for (const std::byte each : bytes) {
                            out += fmt::format("{}{:02x}", out.empty() ? "" : " ",
                                               std::to_integer<unsigned>(each));
                          }
                          return out;
                        },
                    },
                    value);
}

}  // namespace vitrine::linux
