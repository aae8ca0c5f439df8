// Ports: how the language sees a guest, if it sees one.
//
// The front end knows no machine. Whoever has one (a live kernel, a saved description)
// implements these interfaces; each may be absent, and then what depends on it is
// "unknown until attached" and left unchecked, except by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::vmipl {

/// A type of the guest. The number means something to its TypePort alone.
enum class GuestType : std::uint32_t {};

enum class GuestKind : std::uint8_t {
  none /* void, functions, floats */,
  boolean,
  integer,
  enumeration,
  pointer,
  array,
  structure
};

struct GuestShape {
  GuestKind kind = GuestKind::none;
  std::string name;           ///< as in C: "struct task_struct", "unsigned int"
  std::uint64_t size = 0;     ///< bytes; 0: unknown or flexible
  bool is_signed = false;     ///< integers and enumerations
  bool is_character = false;  ///< an integer of one byte: arrays of it are text
  bool is_union = false;
  GuestType target{};  ///< of a pointer (if has_target) and of an array's elements
  bool has_target = false;
  std::uint64_t count = 0;  ///< array: elements; 0: flexible
};

struct GuestMember {
  std::uint64_t offset_bits = 0;  ///< from the start of the structure asked, anonymous ones passed
  std::uint8_t bit_width = 0;     ///< of a bit field; 0: none
  GuestType type{};
};

/// Typedefs and qualifiers are gone through: they are never seen here.
class TypePort {
 public:
  virtual ~TypePort() = default;
  /// "struct task_struct", "union sigval", "enum pid_type", "pid_t", "unsigned long".
  [[nodiscard]] virtual std::optional<GuestType> find(std::string_view name) const = 0;
  [[nodiscard]] virtual GuestShape shape(GuestType type) const = 0;
  /// Members of anonymous structures and unions count as the structure's own.
  [[nodiscard]] virtual std::optional<GuestMember> member(GuestType structure,
                                                          std::string_view name) const = 0;
  [[nodiscard]] virtual std::vector<std::string> member_names(GuestType structure) const = 0;
  [[nodiscard]] virtual std::optional<std::int64_t> enumerator(std::string_view name) const = 0;
  /// What a symbol holds, where the kernel's types say so.
  [[nodiscard]] virtual std::optional<GuestType> variable(std::string_view symbol) const = 0;
  /// The name nearest to a mistyped one; empty if none is near.
  [[nodiscard]] virtual std::string similar(std::string_view name) const = 0;
};

class SymbolPort {
 public:
  virtual ~SymbolPort() = default;
  [[nodiscard]] virtual std::optional<std::uint64_t> find(std::string_view name) const = 0;
  /// How many symbols of functions fit a pattern, counted up to `most`.
  [[nodiscard]] virtual std::size_t count(std::string_view glob, std::size_t most) const = 0;
  [[nodiscard]] virtual std::string similar(std::string_view name) const = 0;
};

/// As linux::ColumnType.
enum class ColumnKind : std::uint8_t {
  boolean,
  integer,
  address,
  mask,
  size,
  duration,
  time,
  text,
  list
};

struct ViewColumn {
  std::string name;
  ColumnKind kind;
};

class ViewPort {
 public:
  virtual ~ViewPort() = default;
  /// Columns in the view's order; nothing if there is no such view.
  [[nodiscard]] virtual std::optional<std::vector<ViewColumn>> columns(
      std::string_view view) const = 0;
  [[nodiscard]] virtual std::vector<std::string> names() const = 0;
};

/// What a script may use. Null: unknown until attached. All must outlive the use.
struct Ports {
  const TypePort* types = nullptr;
  const SymbolPort* symbols = nullptr;
  const ViewPort* views = nullptr;
};

}  // namespace vitrine::vmipl
