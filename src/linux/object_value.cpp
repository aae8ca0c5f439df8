#include "linux/object_value.h"

#include <fmt/format.h>

#include <algorithm>

#include "linux/type_format.h"

namespace vitrine::linux {
namespace {

using btf::Kind;
using btf::Type;
using Form = ObjectValue::Form;

constexpr std::uint64_t kMostSize = kMiB;
constexpr std::size_t kMostValues = std::size_t{1} << 17U;
constexpr unsigned kDeepest = 32;

/// Is it decode_value()'s affair, text included?
bool is_scalar(const Type& type) {
  switch (type.kind()) {
    case Kind::integer:
    case Kind::pointer:
    case Kind::enumeration:
    case Kind::enumeration64:
    case Kind::floating:
      return true;
    case Kind::array:
      return type.count() != 0 && type.target().resolved().is_byte();
    default:
      return false;
  }
}

class Reading {
 public:
  Reading(const TypeCatalogue& types, Bytes bytes, const std::vector<bool>& pages,
          std::uint64_t skew)
      : types_(types), bytes_(bytes), pages_(pages), skew_(skew) {}

  /// @returns false  there are too many
  bool value(ObjectValue& into, const Type& declared, std::uint64_t offset, unsigned shift,
             unsigned width, unsigned depth) {
    if (++values_ > kMostValues || depth > kDeepest) return false;
    into.type = declared;
    const auto type = types_.defined(declared.resolved());
    if (is_scalar(type)) {
      scalar(into, type, offset, shift, width);
      return true;
    }
    if (type.kind() == Kind::array) return elements(into, type, offset, depth);
    into.form = type.is_compound() ? Form::compound : Form::unreadable;
    return members(into, type, offset, depth);
  }

 private:
  void scalar(ObjectValue& into, const Type& type, std::uint64_t offset, unsigned shift,
              unsigned width) {
    auto size = width != 0 ? (shift + width + 7) / 8 : type.size();
    const auto there = slice(bytes_, offset, size);
    if (!there || !readable(offset, size)) {
      into.form = Form::unreadable;
      return;
    }
    auto decoded = decode_value(into.type, *there, shift, width);
    if (!decoded) {
      into.form = Form::unreadable;
      return;
    }
    if (auto* raw = std::get_if<std::vector<std::byte>>(&*decoded);
        raw != nullptr && raw->size() > kMostBytes) {
      into.left_out = raw->size() - kMostBytes;
      raw->resize(kMostBytes);
    }
    into.value = std::move(*decoded);
  }

  bool elements(ObjectValue& into, const Type& type, std::uint64_t offset, unsigned depth) {
    into.form = Form::array;
    const auto element = type.target();
    const auto size = types_.defined(element.resolved()).size();
    const auto shown = std::min<std::uint64_t>(type.count(), kMostElements);
    into.left_out = type.count() - shown;
    for (std::uint64_t i = 0; i < shown; ++i) {
      if (!value(into.parts.emplace_back(), element, offset + i * size, 0, 0, depth + 1))
        return false;
    }
    return true;
  }

  bool members(ObjectValue& into, const Type& type, std::uint64_t offset, unsigned depth) {
    for (const auto& member : type.members()) {
      const auto at = offset + member.offset();
      const auto inner = types_.defined(member.type.resolved());
      if (member.name.empty() && inner.is_compound()) {
        if (depth >= kDeepest || !members(into, inner, at, depth + 1)) return false;
        continue;
      }
      auto& part = into.parts.emplace_back();
      part.name = member.name;
      if (!value(part, member.type, at, static_cast<unsigned>(member.bit_offset % 8),
                 member.bit_width, depth + 1))
        return false;
    }
    return true;
  }

  [[nodiscard]] bool readable(std::uint64_t offset, std::uint64_t size) const {
    for (auto page = (offset + skew_) / kPageSize;
         size != 0 && page <= (offset + skew_ + size - 1) / kPageSize; ++page) {
      if (page >= pages_.size() || !pages_[page]) return false;
    }
    return true;
  }

  const TypeCatalogue& types_;
  Bytes bytes_;
  const std::vector<bool>& pages_;  // of the object's, which can be read
  std::uint64_t skew_;              // of the object's start in the first of them
  std::size_t values_ = 0;
};

}  // namespace

Outcome<ObjectValue> read_object(const VirtualMemory& memory, const TypeCatalogue& types,
                                 const MemberPath& path, Gva object, Gva& at) {
  const auto led = path.route().follow(memory, object, "a path");
  if (!led) {
    return std::unexpected(Problem(
        led.error().code,
        led.error().code == Errc::not_found
            ? fmt::format("{}: the pointer at {:#x} is null", path.text(), led.error().address)
            : fmt::format("{}: {}", path.text(), describe(led.error()))));
  }
  at = *led;
  const auto type = types.defined(path.type().resolved());
  const auto size = type.size();
  if (size == 0) {
    return std::unexpected(
        Problem(Errc::unsupported,
                fmt::format("{} has no size: nothing of it can be read", type_name(path.type()))));
  }
  if (size > kMostSize) {
    return std::unexpected(Problem(
        Errc::too_large,
        fmt::format("{} has {} bytes, more than are read at once", type_name(path.type()), size),
        "name a member of it"));
  }
  std::vector<std::byte> bytes(size);
  const auto skew = at.value % kPageSize;
  std::vector<bool> pages((skew + size + kPageSize - 1) / kPageSize);
  std::optional<Error> first;
  bool any = false;
  for (std::uint64_t done = 0; done < size;) {
    const auto place = (skew + done) / kPageSize;
    const auto piece = std::min(size - done, (place + 1) * kPageSize - (skew + done));
    const auto read = memory.read(at + done, MutableBytes(bytes).subspan(done, piece));
    pages[place] = read.has_value();
    any = any || read;
    if (!read && !first) first = read.error();
    done += piece;
  }
  if (!any) {
    return std::unexpected(Problem(
        first->code, fmt::format("nothing can be read at {:#x}: {}", at.value, describe(*first))));
  }
  ObjectValue whole;
  const auto& route = path.route();
  if (!Reading(types, bytes, pages, skew)
           .value(whole, path.type(), 0, route.bit_shift, route.bit_width, 0)) {
    return std::unexpected(
        Problem(Errc::too_large,
                fmt::format("{} holds more values than are shown at once", type_name(path.type())),
                "name a member of it"));
  }
  return whole;
}

}  // namespace vitrine::linux
