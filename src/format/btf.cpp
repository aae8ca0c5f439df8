#include "format/btf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "format/btf_entry.h"

namespace vitrine::btf {
namespace {

constexpr std::uint16_t kMagic = 0xeb9f;
constexpr std::uint16_t kMagicBigEndian = 0x9feb;
constexpr std::size_t kEntrySize = 12;  // name, info, size or type
constexpr int kMaxChain = 64;           // typedefs, qualifiers and arrays on one way

/// What follows an entry: a fixed part, and a part for each of its `count` elements.
struct Shape {
  std::uint8_t fixed = 0;
  std::uint8_t each = 0;
};
constexpr std::array<Shape, kKinds> kShapes = {{
    {0, 0},   // void: never in a blob
    {4, 0},   // INT
    {0, 0},   // PTR
    {12, 0},  // ARRAY
    {0, 12},  // STRUCT
    {0, 12},  // UNION
    {0, 8},   // ENUM
    {0, 0},   // FWD
    {0, 0},   // TYPEDEF
    {0, 0},   // VOLATILE
    {0, 0},   // CONST
    {0, 0},   // RESTRICT
    {0, 0},   // FUNC: its count is the linkage
    {0, 8},   // FUNC_PROTO
    {4, 0},   // VAR
    {0, 12},  // DATASEC
    {0, 0},   // FLOAT
    {4, 0},   // DECL_TAG
    {0, 0},   // TYPE_TAG
    {0, 12},  // ENUM64
}};

/// An Error's words are literals, so the number of an unknown kind needs one of its own.
const char* unknown_kind(std::uint32_t kind) noexcept {
  switch (kind) {
    case 0:
      return "BTF kind 0 (UNKN)";
    case 20:
      return "BTF kind 20 (LOC_PARAM)";
    case 21:
      return "BTF kind 21 (LOC_PROTO)";
    case 22:
      return "BTF kind 22 (LOCSEC)";
    case 23:
      return "BTF kind 23";
    case 24:
      return "BTF kind 24";
    case 25:
      return "BTF kind 25";
    case 26:
      return "BTF kind 26";
    case 27:
      return "BTF kind 27";
    case 28:
      return "BTF kind 28";
    case 29:
      return "BTF kind 29";
    case 30:
      return "BTF kind 30";
    case 31:
      return "BTF kind 31";
    default:
      return "a BTF kind above 31";
  }
}

std::uint32_t hash(std::string_view text) noexcept {
  constexpr std::uint64_t kPrime = 0x9e3779b97f4a7c15;
  std::uint64_t state = text.size() * kPrime;
  while (text.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data(), 8);
    state = (std::rotl(state, 29) ^ word) * kPrime;
    text.remove_prefix(8);
  }
  if (!text.empty()) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), text.size());
    state = (std::rotl(state, 29) ^ word) * kPrime;
  }
  return static_cast<std::uint32_t>(state >> 32);
}

}  // namespace

Result<Header> parse_header(Bytes start) noexcept {
  const auto magic = load<std::uint16_t>(start, 0);
  const auto version = load<std::uint8_t>(start, 2);
  const auto header_size = load<std::uint32_t>(start, 4);
  if (!header_size) return fail(Errc::out_of_bounds, start.size(), "BTF header");
  if (*magic == kMagicBigEndian) return fail(Errc::unsupported, 0, "BTF of a big-endian machine");
  if (*magic != kMagic) return fail(Errc::malformed, 0, "BTF magic");
  if (*version != 1) return fail(Errc::unsupported, 2, "BTF version");
  if (*header_size < kMinHeaderSize) return fail(Errc::malformed, 4, "BTF header size");
  if (*header_size > kMaxBlobSize) return fail(Errc::too_large, 4, "BTF header size");
  const bool has_layout = *header_size >= 32;
  if (start.size() < (has_layout ? 32u : kMinHeaderSize)) {
    return fail(Errc::out_of_bounds, start.size(), "BTF header");
  }

  Header header{.flags = *load<std::uint8_t>(start, 3), .header_size = *header_size};
  const auto section = [&](std::uint64_t at, std::uint64_t& offset, std::uint64_t& size) {
    offset = std::uint64_t{*header_size} + *load<std::uint32_t>(start, at);
    size = *load<std::uint32_t>(start, at + 4);
    header.blob_size = std::max(header.blob_size, offset + size);
  };
  header.blob_size = *header_size;
  section(8, header.types_offset, header.types_size);
  section(16, header.strings_offset, header.strings_size);
  if (has_layout) section(24, header.layout_offset, header.layout_size);
  if (header.blob_size > kMaxBlobSize) return fail(Errc::too_large, 0, "BTF blob");
  if (header.types_offset % 4 != 0) return fail(Errc::malformed, 8, "BTF types: alignment");
  const bool apart = header.types_offset + header.types_size <= header.strings_offset ||
                     header.strings_offset + header.strings_size <= header.types_offset;
  if (!apart) return fail(Errc::malformed, 16, "BTF sections overlap");
  return header;
}

Result<std::shared_ptr<const Btf>> Btf::parse(std::vector<std::byte> blob,
                                              std::shared_ptr<const Btf> base) {
  const auto header = TRY(parse_header(blob));
  if (header.blob_size > blob.size()) return fail(Errc::out_of_bounds, blob.size(), "BTF blob");
  // Not make_shared: its constructor is private, so that every Btf has been checked.
  const std::shared_ptr<Btf> made(new Btf);
  Btf& btf = *made;
  blob.resize(header.blob_size);
  btf.blob_ = std::move(blob);
  btf.header_ = header;
  if (base) {
    if (base->base_) return fail(Errc::unsupported, 0, "split BTF upon split BTF");
    btf.first_id_ = base->end_id();
    btf.first_string_ = static_cast<std::uint32_t>(base->header_.strings_size);
    btf.enums_have_sign_ = base->enums_have_sign_;
    btf.base_ = std::move(base);
  }
  TRY(btf.check_strings());
  TRY(btf.find_types());
  TRY(btf.check_types());
  btf.build_index();
  return made;
}

// Every string ends: the section's last byte is NUL. And every byte may go to a
// terminal: names are printable, or the blob is refused.
Result<void> Btf::check_strings() const {
  const Bytes strings = Bytes(blob_).subspan(header_.strings_offset, header_.strings_size);
  if (strings.empty()) {
    if (base_) return {};
    return fail(Errc::malformed, header_.strings_offset, "BTF strings: none");
  }
  if (strings.back() != std::byte{0}) {
    return fail(Errc::malformed, header_.blob_size - 1, "BTF strings: the last does not end");
  }
  if (!base_ && strings.front() != std::byte{0}) {
    return fail(Errc::malformed, header_.strings_offset, "BTF strings: the first is not empty");
  }
  bool bad = false;
  for (const std::byte each : strings) {
    const auto character = static_cast<std::uint8_t>(each);
    bad |= (character != 0 && character < 0x20) || character > 0x7e;
  }
  if (bad) return fail(Errc::malformed, header_.strings_offset, "BTF strings: unprintable");
  return {};
}

Result<void> Btf::find_types() {
  const std::uint64_t end = header_.types_offset + header_.types_size;
  const std::byte* const bytes = blob_.data();
  offsets_.reserve(header_.types_size / 20);
  for (std::uint64_t at = header_.types_offset; at < end;) {
    if (end - at < kEntrySize) return fail(Errc::out_of_bounds, at, "BTF type");
    const std::uint32_t info = load32(bytes + at + 4);
    const std::uint32_t kind = kind_of(info);
    Shape shape;
    if (kind != 0 && kind < kKinds) {
      shape = kShapes[kind];
    } else {
      const std::uint64_t known = header_.layout_size / 4;  // {u8 fixed, u8 each, u16 flags}
      if (kind == 0 || kind >= known) return fail(Errc::unsupported, at, unknown_kind(kind));
      const std::byte* layout = bytes + header_.layout_offset + std::uint64_t{kind} * 4;
      shape = {static_cast<std::uint8_t>(layout[0]), static_cast<std::uint8_t>(layout[1])};
      if (shape.fixed % 4 != 0 || shape.each % 4 != 0) {
        return fail(Errc::malformed, header_.layout_offset + kind * 4, "BTF layout");
      }
    }
    const std::uint64_t size =
        kEntrySize + shape.fixed + std::uint64_t{shape.each} * count_of(info);
    if (size > end - at) return fail(Errc::out_of_bounds, at, "BTF type");
    if (static_cast<Kind>(kind) == Kind::enumeration ||
        static_cast<Kind>(kind) == Kind::enumeration64) {
      enums_.push_back(first_id_ + static_cast<std::uint32_t>(offsets_.size()));
      enums_have_sign_ |= flag_of(info) || static_cast<Kind>(kind) == Kind::enumeration64;
    }
    offsets_.push_back(static_cast<std::uint32_t>(at));
    at += size;
  }
  offsets_.shrink_to_fit();
  return {};
}

bool Btf::has_name(std::uint32_t offset) const noexcept {
  return offset < std::uint64_t{first_string_} + header_.strings_size;
}

std::string_view Btf::string(std::uint32_t offset) const noexcept {
  if (offset < first_string_) return base_->string(offset);
  offset -= first_string_;
  if (offset >= header_.strings_size) return {};
  return reinterpret_cast<const char*>(blob_.data()) + header_.strings_offset + offset;
}

Result<void> Btf::check_types() const {
  const std::uint32_t types = end_id();
  for (const std::uint32_t offset : offsets_) {
    const std::byte* const entry = blob_.data() + offset;
    const std::uint32_t info = load32(entry + 4);
    const std::uint32_t kind = kind_of(info);
    const std::uint32_t count = count_of(info);
    if (!has_name(load32(entry))) return fail(Errc::out_of_bounds, offset, "BTF name");
    if (kind >= kKinds) continue;
    const std::uint32_t size_or_type = load32(entry + 8);
    bool refers = false;
    switch (static_cast<Kind>(kind)) {
      case Kind::integer: {
        const std::uint32_t encoding = load32(entry + 12);
        const std::uint32_t bits = encoding & 0xff, first = encoding >> 16 & 0xff;
        if (size_or_type == 0 || size_or_type > 16 || bits + first > size_or_type * 8) {
          return fail(Errc::malformed, offset, "BTF integer");
        }
        break;
      }
      case Kind::enumeration:
      case Kind::enumeration64:
      case Kind::floating:
        if (size_or_type > 16 || !std::has_single_bit(size_or_type)) {
          return fail(Errc::malformed, offset, "BTF size of an enumeration or floating type");
        }
        break;
      case Kind::structure:
      case Kind::union_type:
      case Kind::data_section:
      case Kind::forward:
      case Kind::void_type:
      case Kind::unknown:
        break;
      case Kind::array:
        if (load32(entry + 12) >= types || load32(entry + 16) >= types) {
          return fail(Errc::out_of_bounds, offset, "BTF array's types");
        }
        break;
      default:
        refers = true;
        break;
    }
    if (refers && size_or_type >= types) return fail(Errc::out_of_bounds, offset, "BTF reference");

    const auto shape = kShapes[kind];
    const bool typed = static_cast<Kind>(kind) != Kind::enumeration &&
                       static_cast<Kind>(kind) != Kind::enumeration64;
    const bool named = static_cast<Kind>(kind) != Kind::data_section;
    const std::byte* element = entry + kEntrySize;
    for (std::uint32_t i = 0; shape.each != 0 && i < count; ++i, element += shape.each) {
      const auto at = static_cast<std::uint64_t>(element - blob_.data());
      if (named && !has_name(load32(element))) return fail(Errc::out_of_bounds, at, "BTF name");
      if (typed && load32(element + (named ? 4 : 0)) >= types) {
        return fail(Errc::out_of_bounds, at, "BTF reference");
      }
    }
  }
  // Now that every reference leads somewhere: every chain ends, and every size is a number.
  for (std::uint32_t id = first_id_; id < types; ++id) {
    const auto kind = kind_of(load32(raw(TypeId{id}) + 4));
    if (modifies(kind) || static_cast<Kind>(kind) == Kind::array ||
        static_cast<Kind>(kind) == Kind::variable) {
      TRY(check_chain(TypeId{id}));
    }
  }
  return {};
}

Result<void> Btf::check_chain(TypeId id) const {
  std::uint64_t elements = 1;
  for (int steps = 0; steps < kMaxChain; ++steps) {
    const std::byte* const entry = raw(id);
    if (entry == nullptr) return {};  // void
    const auto kind = kind_of(load32(entry + 4));
    if (modifies(kind) || static_cast<Kind>(kind) == Kind::variable) {
      id = TypeId{load32(entry + 8)};
    } else if (static_cast<Kind>(kind) == Kind::array) {
      if (__builtin_mul_overflow(elements, std::uint64_t{load32(entry + 20)}, &elements)) {
        return fail(Errc::too_large, std::to_underlying(id), "BTF array");
      }
      id = TypeId{load32(entry + 12)};
    } else {
      if (__builtin_mul_overflow(elements, type(id).size(), &elements)) {
        return fail(Errc::too_large, std::to_underlying(id), "BTF array");
      }
      return {};
    }
  }
  return fail(Errc::cycle, std::to_underlying(id), "BTF typedefs, qualifiers or arrays");
}

void Btf::build_index() {
  constexpr std::uint32_t kNameless = ~0u;
  std::vector<std::uint32_t> slots(offsets_.size(), kNameless);
  std::uint32_t named = 0;
  for (const std::uint32_t offset : offsets_) {
    named += *string(load32(blob_.data() + offset)).data() != '\0' ? 1 : 0;
  }
  const std::uint32_t mask = std::bit_ceil(std::max(named, 1u)) - 1;
  buckets_.assign(std::size_t{mask} + 2, 0);
  for (std::size_t i = 0; i < offsets_.size(); ++i) {
    const auto text = string(load32(blob_.data() + offsets_[i]));
    if (text.empty()) continue;
    slots[i] = hash(text) & mask;
    ++buckets_[slots[i]];
  }
  std::uint32_t end = 0;
  for (auto& bucket : buckets_) end = bucket += end;
  // Filled from behind: each bucket's start comes down into place, its numbers in order.
  named_.resize(named);
  for (std::size_t i = offsets_.size(); i-- > 0;) {
    if (slots[i] != kNameless) named_[--buckets_[slots[i]]] = static_cast<std::uint32_t>(i);
  }
}

const std::byte* Btf::raw(TypeId id) const noexcept {
  const auto number = std::to_underlying(id);
  if (number < first_id_) return base_ ? base_->raw(id) : nullptr;
  if (number - first_id_ >= offsets_.size()) return nullptr;
  return blob_.data() + offsets_[number - first_id_];
}

Type Btf::type(TypeId id) const noexcept {
  if (std::to_underlying(id) < first_id_) return base_ ? base_->type(id) : Type{};
  const std::byte* const entry = raw(id);
  return entry == nullptr ? Type{} : Type(this, id, entry);
}

template <class Use>
void Btf::each_of_name(std::string_view name, Use&& use) const {
  if (name.empty() || named_.empty()) return;
  const std::size_t bucket = hash(name) & (buckets_.size() - 2);
  for (std::uint32_t i = buckets_[bucket]; i < buckets_[bucket + 1]; ++i) {
    const Type type(this, TypeId{first_id_ + named_[i]}, blob_.data() + offsets_[named_[i]]);
    if (type.name() == name && !use(type)) return;
  }
}

std::optional<Type> Btf::find(std::string_view name, Kind kind) const noexcept {
  std::optional<Type> found;
  each_of_name(name, [&](const Type& type) {
    if (type.kind() == kind) found = type;
    return !found;
  });
  return found;
}

std::vector<Type> Btf::find_all(std::string_view name) const {
  std::vector<Type> found;
  each_of_name(name, [&](const Type& type) {
    found.push_back(type);
    return true;
  });
  return found;
}

std::optional<Btf::FoundEnumerator> Btf::find_enumerator(std::string_view name) const noexcept {
  if (name.empty()) return std::nullopt;
  for (const std::uint32_t id : enums_) {
    const Type enumeration = type(TypeId{id});
    for (const Enumerator& each : enumeration.enumerators()) {
      if (each.name == name) return FoundEnumerator{each.value, enumeration};
    }
  }
  return std::nullopt;
}

std::size_t Btf::memory_bytes() const noexcept {
  return sizeof *this + blob_.capacity() +
         4 * (offsets_.capacity() + enums_.capacity() + buckets_.capacity() + named_.capacity());
}

}  // namespace vitrine::btf
