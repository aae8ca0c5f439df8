// The script as data: flat arrays and indices, no pointers, so that it is copied,
// destroyed and walked without recursion deeper than kMaxDepth.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmipl/source.h"
#include "vmipl/token.h"

namespace vitrine::vmipl {

/// Of blocks in blocks and of expressions in expressions.
inline constexpr unsigned kMaxDepth = 200;

enum class ExprId : std::uint32_t { none = UINT32_MAX };
enum class StmtId : std::uint32_t { none = UINT32_MAX };
enum class ItemId : std::uint32_t { none = UINT32_MAX };

enum class Op : std::uint8_t {
  none,
  add,
  sub,
  mul,
  div,
  rem,
  bit_and,
  bit_or,
  bit_xor,
  shl,
  shr,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  logic_and,
  logic_or,
  negate,
  bit_not,
  logic_not,
  address_of,
  dereference,
};
[[nodiscard]] std::string_view text(Op op) noexcept;  ///< "+"

/// `struct task_struct **`, `u32`, `pid_t`.
struct TypeName {
  Span span;
  enum Tag : std::uint8_t { plain, structure, union_, enumeration } tag = plain;
  std::string name;
  unsigned pointers = 0;
};

struct Expr {
  enum class Kind : std::uint8_t {
    bad,          ///< did not parse; told already
    integer,      ///< value; bare: eight hexadecimal digits without 0x
    duration,     ///< value, ns
    string,       ///< text
    boolean,      ///< value
    name,         ///< text
    map,          ///< text without @; args: keys; whole if there are no brackets
    field,        ///< a . text
    arrow,        ///< a -> text
    index,        ///< a [ b ]
    call,         ///< text ( args ): "u32", "phys.u32", a fn, a PascalCase action
    unary,        ///< op a
    binary,       ///< a op b
    conditional,  ///< a ? b : c
    cast,         ///< ( type ) a
    size_of,      ///< type, or a
    offset_of,    ///< type, text: the member's path
    output,       ///< text: a path; or a channel with its name; value 1 for a channel
    mac,          ///< value
    star,         ///< *: all of them
  };
  Kind kind = Kind::bad;
  Op op = Op::none;
  bool bare = false;
  bool parenthesized = false;
  bool has_keys = false;  ///< map: written with [ ]
  std::uint16_t depth = 1;
  Span span;
  Span name_span;  ///< of `text` where it is a part
  std::string text;
  std::uint64_t value = 0;
  ExprId a = ExprId::none, b = ExprId::none, c = ExprId::none;
  std::vector<ExprId> args;
  std::uint32_t type = 0;  ///< index into Script::types
};

struct Stmt {
  enum class Kind : std::uint8_t {
    bad,
    expression,  ///< a: a call, mostly
    let,         ///< name = a
    assign,      ///< a (op)= b; op none for =; ++ and -- as += 1, -= 1
    if_,         ///< a, body, other
    for_range,   ///< name in a..b, body
    for_view,    ///< name in view (text in view), body
    block,       ///< body
    filter,      ///< a: the call; body
    return_,     ///< a or none
    break_,
    continue_,
  };
  Kind kind = Kind::bad;
  Op op = Op::none;
  bool step = false;  ///< assign: written ++ or --
  bool has_else = false;
  Span span;
  Span name_span;
  std::string name;
  Span view_span;
  std::string view;
  ExprId a = ExprId::none, b = ExprId::none;
  std::vector<StmtId> body, other;
};

/// One probe of an event item: `Syscall(openat)`.
struct ProbeHead {
  Span span;
  Span name_span;
  std::string name;
  bool has_parens = false;
  bool broken = false;  ///< its arguments could not be read: nothing is to be said of them
  std::vector<ExprId> args;
};

struct Property {
  Span key_span;
  std::string key;
  ExprId value = ExprId::none;
};

struct Parameter {
  Span span;
  std::string name;
};

struct Item {
  enum class Kind : std::uint8_t { bad, configuration, event, stream, constant, function, symptom };
  Kind kind = Kind::bad;
  Span span;  ///< all of it
  Span name_span;
  std::string name;
  std::vector<ProbeHead> heads;  ///< event: one or more, sharing when and body; stream: one
  ExprId when = ExprId::none;
  std::vector<StmtId> body;     ///< event, function
  ExprId value = ExprId::none;  ///< constant; function written fn f(x) = value
  std::vector<Parameter> parameters;
  std::vector<Property> properties;  ///< configuration, symptom
  std::vector<ItemId> items;         ///< symptom: its probes
};

struct Script {
  std::vector<Expr> exprs;
  std::vector<Stmt> stmts;
  std::vector<Item> items;
  std::vector<TypeName> types;
  std::vector<ItemId> top;  ///< in script order

  [[nodiscard]] const Expr& at(ExprId id) const { return exprs[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Stmt& at(StmtId id) const { return stmts[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Item& at(ItemId id) const { return items[static_cast<std::size_t>(id)]; }
};

/// A token as the parser took it, for the formatter.
struct LaidToken {
  Span span;
  TokenKind kind = TokenKind::end;
  enum Role : std::uint8_t {
    plain,
    prefix /* unary operator */,
    call_paren,
    call_close,
    block_open,
    block_close,
    cast_close,
    head_paren /* if ( for ( when ( */,
    head_close,
    glued /* no space before */,
    type_star,
    key_colon,
  } role = plain;
  bool begins_statement = false;
  bool begins_item = false;  ///< at the top of the script or of a symptom
};

}  // namespace vitrine::vmipl
