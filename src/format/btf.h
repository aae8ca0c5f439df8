// BTF: the kernel's own description of its types, parsed from a blob in guest RAM.
//
// Parse, then trust: Btf::parse() checks every offset, reference, name and chain of
// the blob once, and the blob is the parser's own copy. All that is asked afterwards
// cannot fail on the blob's account, so the accessors below give plain values.
//
// The three types that matter: Btf (the parsed blob and its name index), Type (a
// handle to one type in it), Member (a field of a struct or union).
//
// Source: Linux include/uapi/linux/btf.h and Documentation/bpf/btf.rst, 5.10 to 7.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::btf {

class Btf;

/// A type's number: 0 is void; a module's numbers go on where vmlinux's end.
enum class TypeId : std::uint32_t {};

/// As numbered in a blob.
enum class Kind : std::uint8_t {
  void_type = 0,
  integer = 1,
  pointer = 2,
  array = 3,
  structure = 4,
  union_type = 5,
  enumeration = 6,
  forward = 7,  ///< `struct x;`, never defined where this was compiled
  type_definition = 8,
  volatile_qualifier = 9,
  const_qualifier = 10,
  restrict_qualifier = 11,
  function = 12,
  function_prototype = 13,
  variable = 14,
  data_section = 15,
  floating = 16,
  declaration_tag = 17,
  type_tag = 18,
  enumeration64 = 19,
  /// A kind younger than this parser, stepped over by the sizes that the blob's own
  /// layout section gives (Linux 7.1 on). Type::raw_kind() has its number.
  unknown = 255,
};

/// "STRUCT", "TYPE_TAG" ...: as bpftool spells it. Static storage.
[[nodiscard]] std::string_view name(Kind kind) noexcept;

/// Where a blob's parts lie, in bytes from its start.
struct Header {
  std::uint8_t flags = 0;
  std::uint32_t header_size = 0;
  std::uint64_t types_offset = 0, types_size = 0;
  std::uint64_t strings_offset = 0, strings_size = 0;
  std::uint64_t layout_offset = 0, layout_size = 0;  ///< sizes of kinds; from Linux 7.1 on
  /// How long a blob must be to hold all of that: what a finder copies out of RAM.
  std::uint64_t blob_size = 0;
};

inline constexpr std::size_t kMinHeaderSize = 24;
inline constexpr std::uint64_t kMaxBlobSize = 64ull << 20;  ///< the largest seen has 7 MB

/// Reads a header from a blob's first bytes (32 are enough; 24 for kernels before 7.1).
/// The sections need not be in `start`.
/// @returns malformed      no magic, a header shorter than 24, sections that overlap it
/// @returns unsupported    a version other than 1; a big-endian blob
/// @returns out_of_bounds  `start` is shorter than the part of the header that is known
/// @returns too_large      a blob of more than kMaxBlobSize
[[nodiscard]] Result<Header> parse_header(Bytes start) noexcept;

struct Member;
struct Enumerator;
struct Parameter;
struct SectionVariable;

/// What Type::members() and its like give: `for (const Member& m : type.members())`.
template <class Item, Item (*item_at)(const class Type&, std::uint32_t)>
class Items;

/// A handle to one type: three words, copied freely, valid as long as its Btf.
class Type {
 public:
  /// void
  constexpr Type() = default;

  [[nodiscard]] TypeId id() const noexcept { return id_; }
  [[nodiscard]] Kind kind() const noexcept;
  /// Empty for void and for what has no name. Printable ASCII: the parser refuses the rest.
  [[nodiscard]] std::string_view name() const noexcept;

  [[nodiscard]] bool is_void() const noexcept { return raw_ == nullptr; }
  /// A struct or a union: it has members(). Typedefs are not looked through: see resolved().
  [[nodiscard]] bool is_compound() const noexcept {
    return kind() == Kind::structure || kind() == Kind::union_type;
  }
  [[nodiscard]] bool is_enumeration() const noexcept {
    return kind() == Kind::enumeration || kind() == Kind::enumeration64;
  }
  /// typedef, const, volatile, restrict, type tag: the type is what it refers to.
  [[nodiscard]] bool is_modifier() const noexcept;

  /// The type without typedefs, qualifiers and tags. Ends: parse() refuses cycles.
  [[nodiscard]] Type resolved() const noexcept;
  /// What this refers to: a pointer's pointee, an array's element, a typedef's or a
  /// variable's type, a function's prototype, a prototype's return type. Else void.
  [[nodiscard]] Type target() const noexcept;

  /// Bytes, through typedefs and arrays. 0 for void, functions, forward declarations.
  [[nodiscard]] std::uint64_t size() const noexcept;

  /// Elements of an array (0: a flexible one); members of a struct, enumerators of an
  /// enum, parameters of a prototype, variables of a section; else 0.
  [[nodiscard]] std::uint32_t count() const noexcept;

  /// Integers and enumerations: is the value signed? Looks through nothing.
  /// Kernels before 6.0 do not say for enumerations; then they count as signed.
  [[nodiscard]] bool is_signed() const noexcept;
  [[nodiscard]] bool is_bool() const noexcept;  ///< _Bool
  /// An integer of one byte: `char`, `u8`: kernels write strings as either.
  [[nodiscard]] bool is_byte() const noexcept;
  /// A forward declaration of a union, not a struct.
  [[nodiscard]] bool is_forward_union() const noexcept;
  /// An integer's width if it is an old-style bit-field type (0 < bits < 8 * size), else 0.
  [[nodiscard]] std::uint32_t integer_bits() const noexcept;
  [[nodiscard]] std::uint32_t integer_bit_offset() const noexcept;
  /// A variable's or function's linkage: 0 static, 1 global, 2 extern.
  [[nodiscard]] std::uint32_t linkage() const noexcept;
  /// Which member or parameter of target() a declaration tag is for; -1: the whole.
  [[nodiscard]] std::int32_t tagged_component() const noexcept;
  [[nodiscard]] std::uint8_t raw_kind() const noexcept;

  [[nodiscard]] Member member(std::uint32_t index) const noexcept;
  [[nodiscard]] Enumerator enumerator(std::uint32_t index) const noexcept;
  [[nodiscard]] Parameter parameter(std::uint32_t index) const noexcept;
  [[nodiscard]] SectionVariable section_variable(std::uint32_t index) const noexcept;

  /// In the order of the blob; empty where the kind has none. Anonymous members come as
  /// members without a name.
  [[nodiscard]] auto members() const noexcept;
  [[nodiscard]] auto enumerators() const noexcept;
  [[nodiscard]] auto parameters() const noexcept;
  [[nodiscard]] auto section_variables() const noexcept;

  /// The member of that name, those of anonymous structs and unions within included,
  /// with offsets from the start of *this* type. Looks through typedefs.
  /// @returns not_found   no such member, or not a struct or union
  /// @returns cycle       anonymous members nested deeper than 32
  /// @returns too_large   more than a million members passed (forged)
  [[nodiscard]] Result<Member> find_member(std::string_view name) const noexcept;

  /// The name of the enumerator with that value; empty if there is none.
  [[nodiscard]] std::string_view enumerator_name(std::int64_t value) const noexcept;

  /// The same type of the same blob.
  [[nodiscard]] bool operator==(const Type& other) const noexcept { return raw_ == other.raw_; }

 private:
  friend class Btf;
  Type(const Btf* btf, TypeId id, const std::byte* raw) noexcept : btf_(btf), raw_(raw), id_(id) {}
  [[nodiscard]] std::uint32_t word(std::size_t index) const noexcept;

  const Btf* btf_ = nullptr;
  const std::byte* raw_ = nullptr;  // the entry in the blob: name, info, size or type, ...
  TypeId id_{};
};

struct Member {
  std::string_view name;         ///< empty: anonymous
  Type type;                     ///< as declared, typedefs and all
  std::uint64_t bit_offset = 0;  ///< from the start of the type that was asked
  std::uint32_t bit_width = 0;   ///< of a bit field; 0: an ordinary member
  [[nodiscard]] bool is_bit_field() const noexcept { return bit_width != 0; }
  /// Bytes; for a bit field, those before the byte that holds its first bit.
  [[nodiscard]] std::uint64_t offset() const noexcept { return bit_offset / 8; }
};

struct Enumerator {
  std::string_view name;
  /// Of an unsigned 64-bit enumeration: the same bits.
  std::int64_t value = 0;
};

struct Parameter {
  std::string_view name;
  Type type;  ///< void without a name: "..."
};

/// A variable of a data section; those of ".data..percpu" are offsets into each CPU's area.
struct SectionVariable {
  Type variable;
  std::uint32_t offset = 0;
  std::uint32_t size = 0;
};

template <class Item, Item (*item_at)(const Type&, std::uint32_t)>
class Items {
 public:
  class iterator {
   public:
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    iterator(Type type, std::uint32_t index) : type_(type), index_(index) {}
    Item operator*() const { return item_at(type_, index_); }
    iterator& operator++() {
      ++index_;
      return *this;
    }
    iterator operator++(int) {
      auto old = *this;
      ++index_;
      return old;
    }
    bool operator==(const iterator& other) const { return index_ == other.index_; }

   private:
    Type type_;
    std::uint32_t index_ = 0;
  };

  Items(Type type, std::uint32_t size) : type_(type), size_(size) {}
  [[nodiscard]] iterator begin() const { return {type_, 0}; }
  [[nodiscard]] iterator end() const { return {type_, size_}; }
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  Type type_;
  std::uint32_t size_ = 0;
};

namespace detail {
inline Member member_at(const Type& type, std::uint32_t i) { return type.member(i); }
inline Enumerator enumerator_at(const Type& type, std::uint32_t i) { return type.enumerator(i); }
inline Parameter parameter_at(const Type& type, std::uint32_t i) { return type.parameter(i); }
inline SectionVariable section_variable_at(const Type& type, std::uint32_t i) {
  return type.section_variable(i);
}
}  // namespace detail

inline auto Type::members() const noexcept {
  return Items<Member, detail::member_at>(*this, is_compound() ? count() : 0);
}
inline auto Type::enumerators() const noexcept {
  return Items<Enumerator, detail::enumerator_at>(*this, is_enumeration() ? count() : 0);
}
inline auto Type::parameters() const noexcept {
  return Items<Parameter, detail::parameter_at>(*this,
                                                kind() == Kind::function_prototype ? count() : 0);
}
inline auto Type::section_variables() const noexcept {
  return Items<SectionVariable, detail::section_variable_at>(
      *this, kind() == Kind::data_section ? count() : 0);
}

/// One parsed blob: vmlinux's, or a module's upon vmlinux's.
///
/// Threads: immutable once parsed; share it as you like.
/// Memory: the blob, 4 bytes a type, and 4 to 12 bytes a named type for the index.
class Btf {
 public:
  /// Takes the bytes over, checks all of them and builds the name index.
  ///
  /// @param blob  may be longer than the header says; the rest is dropped.
  /// @param base  for a module's split BTF: that of vmlinux.
  /// Errors as parse_header(), and:
  /// @returns out_of_bounds  a section, a type, a name or a reference leaves the blob;
  ///                         `address` is the offset in the blob
  /// @returns malformed      an entry breaks the format's rules, or a name is not printable
  /// @returns unsupported    a kind that is unknown and that no layout section describes;
  ///                         `what` names the kind, `address` is its offset
  /// @returns cycle          typedefs, qualifiers or arrays nested deeper than 64
  /// @returns too_large      an array of more bytes than 64 bits count
  /// Cost: about 10 ms for a vmlinux of 6 MB.
  [[nodiscard]] static Result<std::shared_ptr<const Btf>> parse(
      std::vector<std::byte> blob, std::shared_ptr<const Btf> base = nullptr);

  Btf(const Btf&) = delete;
  Btf& operator=(const Btf&) = delete;

  [[nodiscard]] const Header& header() const noexcept { return header_; }
  [[nodiscard]] Bytes blob() const noexcept { return blob_; }
  [[nodiscard]] const std::shared_ptr<const Btf>& base() const noexcept { return base_; }

  /// This blob's own types have the numbers first_id() .. end_id() - 1.
  [[nodiscard]] std::uint32_t first_id() const noexcept { return first_id_; }
  [[nodiscard]] std::uint32_t end_id() const noexcept {
    return first_id_ + static_cast<std::uint32_t>(offsets_.size());
  }

  /// The type of that number, of this blob or its base; void for a number out of range.
  [[nodiscard]] Type type(TypeId id) const noexcept;

  /// The first type of that name and kind in this blob alone (not in its base).
  [[nodiscard]] std::optional<Type> find(std::string_view name, Kind kind) const noexcept;
  /// All types of that name in this blob alone, in the order of their numbers.
  [[nodiscard]] std::vector<Type> find_all(std::string_view name) const;
  /// An enumerator by its name, in this blob alone, and the enumeration it is of.
  struct FoundEnumerator {
    std::int64_t value = 0;
    Type enumeration;
  };
  /// Cost: a walk over all enumerators, about 0.2 ms in a vmlinux.
  [[nodiscard]] std::optional<FoundEnumerator> find_enumerator(
      std::string_view name) const noexcept;

  /// Bytes held, the blob included, the base not.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

 private:
  friend class Type;
  Btf() = default;
  [[nodiscard]] Result<void> find_types();
  [[nodiscard]] Result<void> check_types() const;
  [[nodiscard]] Result<void> check_chain(TypeId id) const;
  [[nodiscard]] Result<void> check_strings() const;
  void build_index();
  template <class Use>  // bool use(const Type&): false to stop
  void each_of_name(std::string_view name, Use&& use) const;
  [[nodiscard]] bool has_name(std::uint32_t offset) const noexcept;
  [[nodiscard]] std::string_view string(std::uint32_t offset) const noexcept;
  [[nodiscard]] const std::byte* raw(TypeId id) const noexcept;

  std::vector<std::byte> blob_;
  std::shared_ptr<const Btf> base_;
  Header header_;
  std::uint32_t first_id_ = 1;
  std::uint32_t first_string_ = 0;      // where this blob's strings go on from the base's
  bool enums_have_sign_ = false;        // the encoder marks signed enumerations
  std::vector<std::uint32_t> offsets_;  // of each type's entry, from the blob's start
  std::vector<std::uint32_t> enums_;    // numbers of the enumerations
  // The name index: types of the names with hash h are named_[buckets_[h]..buckets_[h + 1]).
  // Filled by counting, so that forged names cannot make it slow to build.
  std::vector<std::uint32_t> buckets_;
  std::vector<std::uint32_t> named_;
};

}  // namespace vitrine::btf
