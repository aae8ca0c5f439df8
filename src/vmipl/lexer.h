// Lexer: bytes to tokens, one at a time.
//
// The classic notation has arguments that are no tokens of an expression language: file
// paths without quotes, MAC addresses, addresses as eight bare hexadecimal digits. Where
// the catalogue says that such an argument stands, the parser asks for it to be read
// again, as a whole (read_path() ...). What the lexer holds against a token is therefore
// told only when the parser takes the token (Token::problem).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmipl/diagnostic.h"
#include "vmipl/token.h"

namespace vitrine::vmipl {

/// `// vitrine: allow(names)`.
struct Allowance {
  Span comment;
  bool own_line = false;  ///< nothing stands before it on its line
  std::vector<std::string> names;
  std::vector<Span> spans;  ///< of each name
};

class Lexer {
 public:
  /// Both must outlive the lexer.
  Lexer(const Source& source, Diagnostics& diagnostics);

  /// The token after the one last read. After the end: the end, again and again.
  [[nodiscard]] Token next();
  /// The kind of what would come next. Cost: that of a next().
  [[nodiscard]] Token peek();
  /// As many of the tokens to come as `into` holds.
  void peek(std::span<Token> into);

  /// Reads again from `token`: letters, digits and / . _ - + ~ % =; at least one.
  [[nodiscard]] std::optional<Token> read_path(const Token& token);
  /// Reads again from `token`: letters, digits, ':' and '-'; at least one.
  [[nodiscard]] std::optional<Token> read_mac(const Token& token);
  /// Reads again from `token`: exactly eight hexadecimal digits, then no further letter or digit.
  [[nodiscard]] std::optional<Token> read_bare_address(const Token& token);

  /// Tells what was found wrong with the token, if anything.
  /// @returns false  what follows cannot be trusted: a string swallowed the rest of its line.
  bool report(const Token& token);

  [[nodiscard]] const std::vector<Allowance>& allowances() const noexcept { return allowances_; }

  /// The unit of durations that a word is, as it is written here ("sec": "s"); empty: none.
  [[nodiscard]] static std::string_view unit_called(std::string_view word);

  /// The string that a token of kind string stands for, its escapes resolved.
  [[nodiscard]] static std::string unquote(std::string_view token);

 private:
  [[nodiscard]] char at(std::size_t ahead = 0) const noexcept {
    return offset_ + ahead < text_.size() ? text_[offset_ + ahead] : '\0';
  }
  [[nodiscard]] bool ended() const noexcept { return offset_ >= text_.size(); }
  void check_bytes();
  bool skip_blank();  // @returns a newline was among it
  void comment(std::uint32_t begin, std::uint32_t end);
  Token number(Token token);
  Token string(Token token);
  Token foreign(Token token);
  void hold(Token& token, Diagnostic diagnostic);
  template <class Accept>
  std::optional<Token> reread(const Token& token, Accept&& accept);

  const Source& source_;
  Diagnostics& diagnostics_;
  std::string_view text_;
  std::uint32_t offset_ = 0;
  std::uint32_t furthest_ = 0;  // comments before it were seen already
  bool fresh_line_ = true;
  std::vector<Diagnostic> held_;
  std::vector<Allowance> allowances_;
};

}  // namespace vitrine::vmipl
