// What the parts of the parser share. Internal to parser*.cpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmipl/catalogue.h"
#include "vmipl/parser.h"

namespace vitrine::vmipl {

/// A word that can be no name: `if`, `let`, `struct`.
[[nodiscard]] bool is_keyword(std::string_view word) noexcept;

/// Where text is compared as others do it.
inline constexpr std::string_view kPatterns = "text is compared with a pattern by `matches`";

class Parser {
 public:
  Parser(const Source& source, Diagnostics& diagnostics);
  ParseResult run();

 private:
  // ---- tokens (parser.cpp)
  [[nodiscard]] std::string_view word() const { return source_.text(token_.span); }
  [[nodiscard]] std::string_view word(const Token& token) const { return source_.text(token.span); }
  [[nodiscard]] bool is(TokenKind kind) const { return token_.kind == kind; }
  [[nodiscard]] bool is_word(std::string_view text) const {
    return is(TokenKind::name) && word() == text;
  }
  Token take(LaidToken::Role role = LaidToken::plain);
  bool accept(TokenKind kind, LaidToken::Role role = LaidToken::plain);
  /// Takes it, or tells what was expected. `expected` in words, empty for the token's own.
  bool expect(TokenKind kind, std::string_view expected = {},
              LaidToken::Role role = LaidToken::plain);
  /// Takes the bracket that closes `open`, or tells of both.
  bool close(TokenKind kind, const Token& open, LaidToken::Role role = LaidToken::plain);
  [[nodiscard]] std::string found() const;  // "found `x`"
  void mark_statement();
  void mark_item();

  // ---- mistakes
  void fail(Diagnostic diagnostic);  // tells it unless we are lost already, and is lost from here
  void fail_here(std::string expected);
  [[nodiscard]] std::size_t indentation(std::uint32_t offset) const;  // of its line
  void skip_to_block();  // at most to the end of the line
  void recover_statement();
  void recover_item();

  // ---- tree
  ExprId add(Expr expr);
  StmtId add(Stmt stmt) {
    script_.stmts.push_back(std::move(stmt));
    return static_cast<StmtId>(script_.stmts.size() - 1);
  }
  ItemId add(Item item) {
    script_.items.push_back(std::move(item));
    return static_cast<ItemId>(script_.items.size() - 1);
  }
  Expr& at(ExprId id) { return script_.exprs[static_cast<std::size_t>(id)]; }
  ExprId bad(Span span) { return add(Expr{.kind = Expr::Kind::bad, .span = span}); }

  // ---- items (parser.cpp)
  void item(std::vector<ItemId>& into, bool in_symptom);
  void item_at(std::vector<ItemId>& into, bool in_symptom);
  void configuration(std::vector<ItemId>& into);
  void event_item(std::vector<ItemId>& into, bool in_symptom);
  void stream_item(std::vector<ItemId>& into, const ProbeInfo& probe);
  void constant(std::vector<ItemId>& into);
  void function(std::vector<ItemId>& into);
  void symptom(std::vector<ItemId>& into);
  void predicate_and_block(Item item, bool known, std::vector<ItemId>& into);
  const ProbeInfo* probe_called(const Token& name, std::uint32_t kinds, Code code,
                                bool tell = true);

  // ---- statements (parser_statement.cpp, parser_loops.cpp)
  bool block(std::vector<StmtId>& into, std::string_view of);
  void statement(std::vector<StmtId>& into);
  void body(std::vector<StmtId>& into);  // a block, or one statement
  void let(std::vector<StmtId>& into);
  bool variable(std::vector<StmtId>& into);  // true: a comma and another one follow
  bool assigns_by_mistake(std::string_view message);
  ExprId condition(const Token& open);
  StmtId if_statement();
  StmtId for_statement();
  StmtId skip_loop(Stmt stmt);
  StmtId simple();
  void stands_apart();
  bool new_name(std::string_view what);

  // ---- other languages' (parser_foreign.cpp); true: it was theirs, and is told
  bool foreign_item(std::vector<ItemId>& into);
  bool foreign_line();
  void foreign_define(std::vector<ItemId>& into);
  void foreign_comment();  // to the end of the line
  bool foreign_statement(std::vector<StmtId>& into);
  void foreign_infix(ExprId left);
  void written_type(TokenKind end);
  std::optional<ExprId> bare_pattern();

  // ---- expressions (parser_expression.cpp)
  ExprId expression();
  ExprId conditional();
  ExprId binary(int least);
  ExprId unary();
  ExprId postfix(ExprId expr);
  ExprId primary();
  void unit_apart(Expr& number);
  ExprId cast_or_group();
  ExprId size_of();
  ExprId offset_of();
  ExprId name_or_call();
  bool type_name(TypeName& type);
  [[nodiscard]] bool looks_like_cast();
  /// The arguments up to the closing parenthesis, each as the probe's catalogue entry says.
  std::vector<ExprId> arguments(const ProbeInfo* probe, const Token& open);
  ExprId argument(const ProbeInfo* probe, std::size_t index);
  ExprId output_argument();
  ExprId address_argument(bool bare_hex);
  ExprId mac_argument();

  friend struct Nest;
  const Source& source_;
  Diagnostics& diagnostics_;
  Lexer lexer_;
  Token token_;
  Span last_;          // of the token last taken
  bool lost_ = false;  // a mistake was told; be silent until recovered
  bool hit_depth_ = false;
  bool torn_ = false;  // a string without its end was told
  Span suspect_;       // the first block whose `}` stands further left than it began
  unsigned depth_ = 0;
  std::string_view renamed_;  // what the next call is here, where another language's word stands
  std::uint32_t bare_at_ = UINT32_MAX;  // where eight bare hexadecimal digits stand
  Script script_;
  std::vector<LaidToken> laid_;
  bool item_next_ = false, statement_next_ = false;
};

/// Counts how deep we are. False: too deep, told.
struct Nest {
  explicit Nest(Parser& parser);
  ~Nest() { --parser_.depth_; }
  Nest(const Nest&) = delete;
  Nest& operator=(const Nest&) = delete;
  explicit operator bool() const { return good_; }
  Parser& parser_;
  bool good_;
};

}  // namespace vitrine::vmipl
