#include "probe/record.h"

#include <algorithm>
#include <cstring>

#include "probe/wire.h"

namespace vitrine::probe {
namespace {

// magic u16, version u16, size u32, values u32, then the head's fields, then the values:
// a mark (1 there, 2 textual), then eight bytes, or a length of four and as many bytes.
constexpr std::uint16_t kMagic = 0x5256;  // "VR"

// Into a place of fixed size, without allocating: unlike WireWriter it can be full.
struct Writer {
  MutableBytes into;
  std::size_t at = 0;
  bool full = false;

  void bytes(const void* data, std::size_t size) noexcept {
    if (full || into.size() - at < size) {
      full = true;
      return;
    }
    if (size != 0) std::memcpy(into.data() + at, data, size);
    at += size;
  }
  template <class T>
  void put(T value) noexcept {
    bytes(&value, sizeof value);
  }
};

}  // namespace

std::string_view RecordHead::name() const {
  const auto end = std::find(process.begin(), process.end(), '\0');
  return {process.data(), static_cast<std::size_t>(end - process.begin())};
}

void RecordHead::set_name(std::string_view name) {
  process.fill('\0');
  std::copy_n(name.begin(), std::min(name.size(), process.size() - 1), process.begin());
}

std::size_t encode(const RecordHead& head, std::span<const ValueView> values,
                   MutableBytes into) noexcept {
  if (values.size() > kMaxRecordValues) return 0;
  Writer out{into.first(std::min(into.size(), kMaxRecord))};
  out.put(kMagic);
  out.put(kRecordVersion);
  out.put(std::uint32_t{0});  // the size, when it is known
  out.put(static_cast<std::uint32_t>(values.size()));
  out.put(head.monotonic_ns);
  out.put(head.wall_ns);
  out.put(head.sequence);
  out.put(head.cpu);
  out.put(head.probe);
  out.put(head.site);
  out.put(head.pid);
  out.put(head.tid);
  out.bytes(head.process.data(), head.process.size());
  for (const auto& value : values) {
    out.put(static_cast<std::uint8_t>((value.there ? 1 : 0) | (value.textual ? 2 : 0)));
    if (!value.there) continue;
    if (!value.textual) {
      out.put(value.number);
      continue;
    }
    if (value.text.size() > kMaxRecord) return 0;
    out.put(static_cast<std::uint32_t>(value.text.size()));
    out.bytes(value.text.data(), value.text.size());
  }
  if (out.full) return 0;
  const auto size = static_cast<std::uint32_t>(out.at);
  std::memcpy(into.data() + 4, &size, sizeof size);
  return out.at;
}

Result<Record> decode(Bytes bytes) {
  WireReader in(bytes);
  if (bytes.size() > kMaxRecord) return fail(Errc::too_large, 0, "a record");
  if (in.get<std::uint16_t>() != kMagic) return fail(Errc::malformed, 0, "not a record");
  if (in.get<std::uint16_t>() != kRecordVersion)
    return fail(Errc::unsupported, 2, "version of a record");
  if (in.get<std::uint32_t>() != bytes.size()) return fail(Errc::malformed, 4, "size of a record");
  const auto count = in.get<std::uint32_t>();
  if (count > kMaxRecordValues) return fail(Errc::too_large, 8, "values of a record");
  Record record;
  auto& head = record.head;
  head.monotonic_ns = in.get<std::uint64_t>();
  head.wall_ns = in.get<std::int64_t>();
  head.sequence = in.get<std::uint64_t>();
  head.cpu = in.get<std::uint32_t>();
  head.probe = in.get<std::uint16_t>();
  head.site = in.get<std::uint16_t>();
  head.pid = in.get<std::int32_t>();
  head.tid = in.get<std::int32_t>();
  head.process = in.get<std::array<char, 16>>();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const auto mark = in.get<std::uint8_t>();
    if (mark > 3) return fail(Errc::malformed, in.at(), "mark of a value");
    Value value;
    value.there = (mark & 1) != 0;
    value.textual = (mark & 2) != 0;
    if (value.there && !value.textual) value.number = in.get<std::uint64_t>();
    if (value.there && value.textual) value.text = in.get_text();
    record.values.push_back(std::move(value));
  }
  if (!in.done()) return fail(Errc::malformed, in.at(), "a record's end");
  return record;
}

}  // namespace vitrine::probe
