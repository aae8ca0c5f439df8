// Typed access to the guest's structures: what views are written with.
//
// A view declares the fields it reads, binds them once to this kernel's own layout, and
// then reads them, checked, at the cost of an addition:
//
//   struct TaskFields {
//     Field<std::int32_t> pid;
//     Field<std::string> comm;                  // char[16]: up to the NUL
//     Field<std::uint64_t> state;               // renamed in 5.14
//     Field<Gva> mm;                            // a pointer's value
//     Field<std::int32_t> umask;                // through two pointers
//     OptionalField<std::int32_t> seccomp_mode; // not in every kernel
//     Embedded tasks, children, sibling;        // list heads: places, not values
//     Span span;
//
//     static Outcome<TaskFields> from(const TypeCatalogue& types) {
//       TaskFields fields;
//       FieldBinder bind(types);
//       bind(fields.pid, "task_struct.pid");
//       bind(fields.comm, "task_struct.comm");
//       bind(fields.state, {"task_struct.__state", "task_struct.state"});  // the first there is
//       bind(fields.mm, "task_struct.mm");
//       bind(fields.umask, "task_struct.fs->umask");
//       bind(fields.seccomp_mode, "task_struct.seccomp.mode");
//       bind(fields.tasks, "task_struct.tasks");
//       TRY(bind.done());                       // one Problem that names all that is missing
//       fields.span = Span::covering(fields.pid, fields.comm, fields.state, fields.mm);
//       return fields;
//     }
//   };
//
//   const auto pid = TRY(fields_.pid.read(kernel.memory(), task));         // one by one, or
//
//   Snapshot copy(fields_.span);            // all from one read: cheaper, and of one moment
//   TRY(copy.load(kernel.memory(), task));
//   const auto pid = TRY(fields_.pid.read(copy));
//   const auto comm = TRY(fields_.comm.read(copy));
//   const auto umask = TRY(fields_.umask.read(kernel.memory(), copy));  // its pointer from there
//
//   for (Gva node = ...; node != head; ...) task = fields_.tasks.owner(node);   // container_of
//
// What fits what, checked when bound (T stands for the view's type):
//   integers   from integers, enumerations and bit fields of at most T's width. A narrower
//              value is extended by its own signedness. An unsigned one into a signed T must
//              be narrower than T. A signed one into an unsigned T is extended, then taken as
//              its bits, as C does.
//   bool       from _Bool and from bit fields of one bit.
//   Gva        from pointers, and from unsigned 64-bit integers (vm_start). Pointers go
//              nowhere else.
//   enum E     as its underlying integer.
//   string     from arrays of char or u8 (up to the NUL, or full), and through pointers to char.
// A struct is no value: write "cred.uid.val", "mm_struct.mm_users.counter".
//
// All fields are plain data (96 bytes at most, no heap), free to copy and share. An
// unbound one reads as Errc::invalid. Paths: linux/type_path.h; with names that are not
// literals, and for any type: linux/field_value.h.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "base/result.h"
#include "linux/field_scalar.h"
#include "linux/snapshot.h"
#include "linux/type_catalogue.h"
#include "linux/type_path.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

/// What the fields below share: a bound path. Not to be used by itself.
class BoundPath {
 public:
  /// False before it is bound.
  [[nodiscard]] bool bound() const noexcept { return route_.size != 0 || *name_ != '\0'; }
  /// The path as bound: "task_struct.__state".
  [[nodiscard]] const char* path() const noexcept { return name_; }
  /// No pointer is followed: the field lies in the object itself.
  [[nodiscard]] bool direct() const noexcept { return route_.hop_count == 0; }
  /// Bytes from the object's start; nothing if a pointer is followed.
  [[nodiscard]] std::optional<std::uint64_t> offset() const noexcept {
    if (!direct()) return std::nullopt;
    return route_.offset;
  }
  /// What reading takes of the object itself.
  [[nodiscard]] Span span() const noexcept;
  /// Where the field lies for this object.
  /// @returns not_found  a pointer on the way is null. Errors as VirtualMemory::read.
  [[nodiscard]] Result<Gva> address(const VirtualMemory& memory, Gva object) const;
  [[nodiscard]] Result<Gva> address(const VirtualMemory& memory, const Snapshot& object) const;

 protected:
  Route route_;
  const char* name_ = "";  // a literal, by way of PathName
};

namespace detail {

/// The first of `names` that this kernel has. @returns not_found  none; the message has the last.
[[nodiscard]] Outcome<MemberPath> first_of(const TypeCatalogue& types,
                                           std::initializer_list<PathName> names,
                                           const char*& name);

}  // namespace detail

/// A scalar member: an integer, bool, enumeration, or address. See the top of this file.
template <class T>
class Field : public BoundPath {
  static_assert(FieldScalar<T>, "Field<T>: T is an integer, bool, enum, Gva or std::string");

 public:
  Field() = default;

  /// Binds to the first of `names` that this kernel has.
  /// @returns not_found  it has none of them; the message names the step that failed
  /// @returns invalid    it has it, but its type does not fit T
  [[nodiscard]] static Outcome<Field> from(const TypeCatalogue& types,
                                           std::initializer_list<PathName> names) {
    Field field;
    const auto path = TRY(detail::first_of(types, names, field.name_));
    field.route_ = path.route();
    field.scalar_ = TRY(detail::fit(path.type(), path.route(), detail::need_of<T>(), path.text()));
    return field;
  }
  [[nodiscard]] static Outcome<Field> from(const TypeCatalogue& types, PathName name) {
    return from(types, {name});
  }

  /// The member of the object at `object`.
  /// @returns not_found  a pointer on the way is null; `address` is where that pointer lies
  /// Other errors as VirtualMemory::read; `address` is where we read, `what` the path.
  /// Cost: one read for each pointer followed, and one.
  [[nodiscard]] Result<T> read(const VirtualMemory& memory, Gva object) const {
    const Gva from = direct() ? object + route_.offset : TRY(address(memory, object));
    return detail::value_as<T>(TRY(detail::read_scalar(memory, from, scalar_, name_)));
  }

  /// The member from a copy; nanoseconds.
  /// @returns out_of_bounds  the copy does not have it: not in its Span, or nothing loaded
  /// @returns invalid        the path follows a pointer: give the memory, too
  [[nodiscard]] Result<T> read(const Snapshot& object) const {
    if (!direct()) return fail(Errc::invalid, object.object().value, name_);
    const auto bytes = object.bytes(route_.offset, scalar_.bytes);
    if (!bytes || scalar_.bytes == 0) {
      return fail(Errc::out_of_bounds, object.object().value + route_.offset, name_);
    }
    return detail::value_as<T>(scalar_.extract(bytes->data()));
  }

  /// The member from a copy if it lies in it, else by its first pointer from the copy.
  [[nodiscard]] Result<T> read(const VirtualMemory& memory, const Snapshot& object) const {
    if (direct()) return read(object);
    const Gva from = TRY(address(memory, object));
    return detail::value_as<T>(TRY(detail::read_scalar(memory, from, scalar_, name_)));
  }

  /// As read(), but nothing where a pointer on the way is null: a kernel thread's mm.
  template <class Object>
  [[nodiscard]] Result<std::optional<T>> find(const VirtualMemory& memory,
                                              const Object& object) const {
    auto value = read(memory, object);
    if (value) return std::optional<T>(*value);
    if (value.error().code == Errc::not_found) return std::optional<T>();
    return std::unexpected(value.error());
  }

 private:
  detail::Scalar scalar_;
};

/// Text: an array of char (up to the NUL or the array's end), or a pointer to char.
/// The bytes come as they are: printing escapes them.
template <>
class Field<std::string> : public BoundPath {
 public:
  Field() = default;

  /// Errors as Field<T>::from().
  [[nodiscard]] static Outcome<Field> from(const TypeCatalogue& types,
                                           std::initializer_list<PathName> names);
  [[nodiscard]] static Outcome<Field> from(const TypeCatalogue& types, PathName name) {
    return from(types, {name});
  }

  /// The most that is read through a pointer or of a flexible array.
  static constexpr std::size_t kLimit = 4096;

  /// Errors as Field<T>::read(); a null pointer to the text is not_found.
  [[nodiscard]] Result<std::string> read(const VirtualMemory& memory, Gva object) const;
  /// @returns invalid  the text is not in the object: give the memory, too
  [[nodiscard]] Result<std::string> read(const Snapshot& object) const;
  [[nodiscard]] Result<std::string> read(const VirtualMemory& memory, const Snapshot& object) const;

  template <class Object>
  [[nodiscard]] Result<std::optional<std::string>> find(const VirtualMemory& memory,
                                                        const Object& object) const {
    auto value = read(memory, object);
    if (value) return std::optional<std::string>(*std::move(value));
    if (value.error().code == Errc::not_found) return std::optional<std::string>();
    return std::unexpected(value.error());
  }

 private:
  [[nodiscard]] Result<std::string> read_at(const VirtualMemory& memory, Gva from) const;

  bool through_pointer_ = false;
};

/// An array of scalars: "cred.cap_effective.cap", "mm_struct.saved_auxv".
template <FieldScalar T>
class ArrayField : public BoundPath {
 public:
  ArrayField() = default;

  /// As Field<T>::from(), for the elements. Arrays of arrays count as one.
  [[nodiscard]] static Outcome<ArrayField> from(const TypeCatalogue& types,
                                                std::initializer_list<PathName> names);
  [[nodiscard]] static Outcome<ArrayField> from(const TypeCatalogue& types, PathName name) {
    return from(types, {name});
  }

  /// Elements; 0 for a flexible array.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

  /// @returns out_of_bounds  no such element. Of a flexible array, any may be read.
  [[nodiscard]] Result<T> read(const VirtualMemory& memory, Gva object, std::uint64_t index) const {
    if (!bound()) return fail(Errc::invalid, object.value, "unbound field");
    if (index >= count_ && (count_ != 0 || index > UINT32_MAX)) {
      return fail(Errc::out_of_bounds, object.value, name_);
    }
    const Gva from = TRY(address(memory, object)) + index * scalar_.bytes;
    return detail::value_as<T>(TRY(detail::read_scalar(memory, from, scalar_, name_)));
  }
  [[nodiscard]] Result<T> read(const Snapshot& object, std::uint64_t index) const {
    if (!direct()) return fail(Errc::invalid, object.object().value, name_);
    if (index >= count_) return fail(Errc::out_of_bounds, object.object().value, name_);
    const auto bytes = object.bytes(route_.offset + index * scalar_.bytes, scalar_.bytes);
    if (!bytes || scalar_.bytes == 0)
      return fail(Errc::out_of_bounds, object.object().value, name_);
    return detail::value_as<T>(scalar_.extract(bytes->data()));
  }
  /// The first `most` elements, by one read. @returns too_large  more than 1 MiB
  [[nodiscard]] Result<std::vector<T>> read_all(const VirtualMemory& memory, Gva object,
                                                std::uint64_t most = UINT64_MAX) const;

 private:
  detail::Scalar scalar_;
  std::uint64_t count_ = 0;
};

/// A member by its place, not its value: list heads, tree nodes, structs in structs, and
/// arrays of them. No pointer is followed.
class Embedded : public BoundPath {
 public:
  Embedded() = default;

  /// @returns not_found, and invalid  the path follows a pointer
  [[nodiscard]] static Outcome<Embedded> from(const TypeCatalogue& types,
                                              std::initializer_list<PathName> names);
  [[nodiscard]] static Outcome<Embedded> from(const TypeCatalogue& types, PathName name) {
    return from(types, {name});
  }

  [[nodiscard]] Gva in(Gva object) const noexcept { return object + route_.offset; }
  /// The object in which `member` lies: container_of.
  [[nodiscard]] Gva owner(Gva member) const noexcept { return member - route_.offset; }
  /// Bytes; of all elements.
  [[nodiscard]] std::uint64_t size() const noexcept { return route_.size; }

  /// Of an array: its elements (0: flexible; 1: not an array), their bytes, and where they lie.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t stride() const noexcept { return stride_; }
  [[nodiscard]] Gva element(Gva object, std::uint64_t index) const noexcept {
    return in(object) + index * stride_;
  }
  /// Nothing, so that a large member is not copied by chance; see Field.
  [[nodiscard]] Span span() const noexcept { return {}; }

 private:
  std::uint64_t count_ = 0;
  std::uint64_t stride_ = 0;
};

/// A field that some kernels do not have. Read it, and get nothing there.
template <class T>
class OptionalField {
 public:
  OptionalField() = default;

  /// Absent members and types make an absent field.
  /// @returns invalid  it is there, but its type does not fit T: better said than taken for absent
  [[nodiscard]] static Outcome<OptionalField> from(const TypeCatalogue& types,
                                                   std::initializer_list<PathName> names) {
    OptionalField optional;
    auto field = Field<T>::from(types, names);
    if (field)
      optional.field_ = *field;
    else if (field.error().code != Errc::not_found)
      return std::unexpected(std::move(field.error()));
    return optional;
  }
  [[nodiscard]] static Outcome<OptionalField> from(const TypeCatalogue& types, PathName name) {
    return from(types, {name});
  }

  [[nodiscard]] bool exists() const noexcept { return field_.bound(); }
  [[nodiscard]] const char* path() const noexcept { return field_.path(); }
  [[nodiscard]] Span span() const noexcept { return exists() ? field_.span() : Span{}; }
  /// Call it only if exists().
  [[nodiscard]] const Field<T>& field() const noexcept { return field_; }

  /// As Field<T>::read(memory, object), read(copy) and read(memory, copy); nothing if the
  /// field does not exist.
  template <class... Source>
  [[nodiscard]] Result<std::optional<T>> read(const Source&... source) const {
    if (!exists()) return std::optional<T>();
    return std::optional<T>(TRY(field_.read(source...)));
  }
  /// Nothing also where a pointer on the way is null.
  template <class Object>
  [[nodiscard]] Result<std::optional<T>> find(const VirtualMemory& memory,
                                              const Object& object) const {
    if (!exists()) return std::optional<T>();
    return field_.find(memory, object);
  }

 private:
  friend class FieldBinder;
  Field<T> field_;
};

/// Binds many fields and says at the end what is missing, all of it.
class FieldBinder {
 public:
  explicit FieldBinder(const TypeCatalogue& types) : types_(types) {}

  /// Any of the fields above. A field that cannot be bound stays unbound.
  template <class AnyField>
  void operator()(AnyField& field, std::initializer_list<PathName> names) {
    auto bound = AnyField::from(types_, names);
    if (bound)
      field = *bound;
    else
      missing(std::move(bound.error()));
  }
  template <class T>
  void operator()(OptionalField<T>& field, std::initializer_list<PathName> names) {
    field = {};
    auto bound = Field<T>::from(types_, names);
    if (bound)
      field.field_ = *bound;
    else if (bound.error().code == Errc::not_found)
      absent_.push_back(std::move(bound.error().message));
    else
      missing(std::move(bound.error()));
  }
  template <class AnyField>
  void operator()(AnyField& field, PathName name) {
    (*this)(field, {name});
  }

  /// @returns the first problem's code, with all that could not be bound in the message.
  [[nodiscard]] Outcome<void> done() const;
  /// Optional fields that this kernel does not have, and why:
  /// "task_struct.seccomp.mode: struct task_struct has no member seccomp".
  [[nodiscard]] const std::vector<std::string>& absent() const noexcept { return absent_; }

 private:
  void missing(Problem problem);

  const TypeCatalogue& types_;
  std::optional<Problem> problem_;
  std::vector<std::string> absent_;
};

template <FieldScalar T>
Outcome<ArrayField<T>> ArrayField<T>::from(const TypeCatalogue& types,
                                           std::initializer_list<PathName> names) {
  ArrayField field;
  const auto path = TRY(detail::first_of(types, names, field.name_));
  auto element = path.type().resolved();
  if (element.kind() != btf::Kind::array) {
    return std::unexpected(Problem{Errc::invalid, path.text() + " is not an array"});
  }
  field.count_ = 1;
  for (; element.kind() == btf::Kind::array; element = element.target().resolved()) {
    field.count_ *= element.count();
  }
  field.route_ = path.route();
  field.scalar_ = TRY(detail::fit(element, path.route(), detail::need_of<T>(), path.text()));
  return field;
}

template <FieldScalar T>
Result<std::vector<T>> ArrayField<T>::read_all(const VirtualMemory& memory, Gva object,
                                               std::uint64_t most) const {
  if (!bound()) return fail(Errc::invalid, object.value, "unbound field");
  const std::uint64_t wanted = count_ == 0 || most < count_ ? most : count_;
  if (wanted > kMiB / scalar_.bytes) return fail(Errc::too_large, object.value, name_);
  std::vector<std::byte> bytes(wanted * scalar_.bytes);
  const Gva from = TRY(address(memory, object));
  if (auto done = memory.read(from, bytes); !done)
    return fail(done.error().code, from.value, name_);
  std::vector<T> values;
  values.reserve(wanted);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    values.push_back(detail::value_as<T>(scalar_.extract(bytes.data() + i * scalar_.bytes)));
  }
  return values;
}

}  // namespace vitrine::linux
