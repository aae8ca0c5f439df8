#include "vmipl/format_script.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "vmipl/parser.h"

namespace vitrine::vmipl {
namespace {

constexpr std::size_t kWidth = 100;
constexpr std::size_t kShortBlock = 80;  // a one-line block's line

struct Comment {
  std::string_view text;
  bool own_line = false;  // nothing before it on its line
  bool line = false;      // to the end of the line
  bool empty_before = false;
};

struct Piece {
  LaidToken token;
  std::string_view text;
  std::vector<Comment> comments;  // before it
  bool empty_before = false;      // an empty line stands before it (or before its comments)
  bool newline_before = false;    // it stands on another line than what is before it
  bool dropped = false;
};

class Formatter {
 public:
  explicit Formatter(std::string_view text) : text_(text) {}

  std::string run(const std::vector<LaidToken>& tokens) {
    std::uint32_t at = text_.starts_with("\xef\xbb\xbf") ? 3 : 0;
    for (const auto& token : tokens) {
      Piece piece{token, text_.substr(token.span.begin, token.span.size()), {}, false, false};
      gap(at, token.span.begin, piece);
      at = token.span.end;
      pieces_.push_back(std::move(piece));
    }
    Piece end{};
    gap(at, static_cast<std::uint32_t>(text_.size()), end);
    pieces_.push_back(std::move(end));
    drop_semicolons();
    for (auto& piece : pieces_) {
      // `a /* of b */ b` on one line: the comment goes with what follows.
      const bool begins = piece.token.begins_statement || piece.token.begins_item;
      if (begins && !piece.newline_before && !piece.comments.empty())
        piece.comments.front().own_line = true;
    }
    match_blocks();
    write();
    return std::move(out_);
  }

 private:
  void gap(std::uint32_t from, std::uint32_t to, Piece& piece) {
    unsigned newlines = 0;
    bool any_newline = from == 0 || (from == 3 && text_.starts_with("\xef"));
    bool empty = false;
    for (auto i = from; i < to;) {
      const char c = text_[i];
      if (c == '\r' || c == '\n') {
        i += c == '\r' && i + 1 < to && text_[i + 1] == '\n' ? 2 : 1;
        ++newlines;
        any_newline = true;
        piece.newline_before = true;
        empty = empty || newlines >= 2;
      } else if ((c == '/' && i + 1 < to && (text_[i + 1] == '/' || text_[i + 1] == '*')) ||
                 (c == '#' && i == from && any_newline)) {  // or the first line's #!
        const bool line = text_[i + 1] == '/' || c == '#';
        auto end = i;
        if (line) {
          while (end < to && text_[end] != '\r' && text_[end] != '\n') ++end;
        } else {
          const auto close = text_.find("*/", i + 2);
          end = close == std::string_view::npos || close + 2 > to
                    ? to
                    : static_cast<std::uint32_t>(close + 2);
        }
        auto body = text_.substr(i, end - i);
        while (!body.empty() && (body.back() == ' ' || body.back() == '\t')) body.remove_suffix(1);
        piece.comments.push_back({body, any_newline, line, empty});
        any_newline = false;
        empty = false;
        newlines = 0;
        i = end;
      } else {
        ++i;
      }
    }
    piece.empty_before = empty;
  }

  // A semicolon stays where what follows could be read as going on.
  void drop_semicolons() {
    for (std::size_t i = 0; i + 1 < pieces_.size(); ++i) {
      if (pieces_[i].token.kind != TokenKind::semicolon) continue;
      std::size_t next = i + 1;
      while (next + 1 < pieces_.size() && pieces_[next].token.kind == TokenKind::semicolon) ++next;
      const auto kind = pieces_[next].token.kind;
      const bool needed = kind == TokenKind::left_paren || kind == TokenKind::left_bracket ||
                          kind == TokenKind::minus || kind == TokenKind::star ||
                          kind == TokenKind::amp || kind == TokenKind::plus ||
                          kind == TokenKind::tilde || kind == TokenKind::bang ||
                          kind == TokenKind::string;
      const bool after_start = i == 0 || pieces_[i - 1].token.role == LaidToken::block_open ||
                               pieces_[i - 1].token.kind == TokenKind::semicolon;
      if (needed && next == i + 1 && !after_start) {
        pieces_[i].token.role = LaidToken::glued;
        pieces_[i].token.begins_statement = pieces_[i].token.begins_item = false;
        pieces_[next].token.begins_statement = true;
        continue;
      }
      // Its comments go to what follows; so does that it began a statement.
      pieces_[i].dropped = true;
      auto& heir = pieces_[i + 1];
      heir.comments.insert(heir.comments.begin(), pieces_[i].comments.begin(),
                           pieces_[i].comments.end());
      heir.empty_before = heir.empty_before || pieces_[i].empty_before;
      heir.newline_before = heir.newline_before || pieces_[i].newline_before;
    }
    std::erase_if(pieces_, [](const Piece& piece) { return piece.dropped; });
  }

  void match_blocks() {
    closes_.assign(pieces_.size(), 0);
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const auto role = pieces_[i].token.role;
      if (role == LaidToken::block_open) open.push_back(i);
      if (role == LaidToken::block_close && !open.empty()) {
        closes_[open.back()] = i;
        open.pop_back();
      }
    }
  }

  [[nodiscard]] bool space_between(const Piece& left, const Piece& right) const {
    const auto l = left.token, r = right.token;
    // `- -x` and `& &x` are other tokens without their space.
    if (l.role == LaidToken::prefix && l.kind == r.kind &&
        (l.kind == TokenKind::minus || l.kind == TokenKind::plus || l.kind == TokenKind::amp))
      return true;
    if (r.role == LaidToken::glued || l.role == LaidToken::prefix ||
        l.role == LaidToken::cast_close)
      return false;
    if (r.role == LaidToken::call_paren || l.role == LaidToken::call_paren ||
        r.role == LaidToken::call_close)
      return false;
    if (l.role == LaidToken::head_paren || r.role == LaidToken::head_close) return false;
    if (r.role == LaidToken::cast_close || r.role == LaidToken::key_colon) return false;
    if (r.kind == TokenKind::comma || r.kind == TokenKind::semicolon) return false;
    if (l.kind == TokenKind::dot || l.kind == TokenKind::arrow) return false;
    if (l.kind == TokenKind::range || r.kind == TokenKind::range) return false;
    if (l.kind == TokenKind::left_paren && l.role == LaidToken::plain) return false;
    if (r.kind == TokenKind::right_paren && r.role == LaidToken::plain) return false;
    if (l.kind == TokenKind::left_bracket || r.kind == TokenKind::right_bracket) return false;
    return true;
  }

  // The block that the `else` after the block at `open` has, if it has one in braces; else 0.
  [[nodiscard]] std::size_t else_block(std::size_t open) const {
    auto i = closes_[open] + 1;
    if (i >= pieces_.size() || pieces_[i].text != "else") return 0;
    ++i;
    if (i < pieces_.size() && pieces_[i].text == "if") {
      while (i < pieces_.size() && pieces_[i].token.role != LaidToken::head_close) ++i;
      ++i;
    }
    return i < pieces_.size() && pieces_[i].token.role == LaidToken::block_open && closes_[i] != 0
               ? i
               : 0;
  }

  // Would it fit on the current line? The blocks of one if / else are laid out alike.
  [[nodiscard]] bool one_line(std::size_t open, std::size_t column) {
    if (decided_.empty()) decided_.assign(pieces_.size(), 0);
    if (decided_[open] == 0) {
      bool fits = closes_[open] != 0;
      auto last = open;
      for (auto block = open; block != 0 && fits; block = else_block(block)) {
        fits = short_block(block);
        last = closes_[block];
      }
      for (auto i = open + 1; i <= last && fits; ++i) {
        const auto before = pieces_[i - 1].token.role;
        column += pieces_[i].text.size() + (i == last || before == LaidToken::block_open ||
                                                    space_between(pieces_[i - 1], pieces_[i])
                                                ? 1
                                                : 0);
        fits = column <= kShortBlock && pieces_[i].comments.empty();
      }
      for (auto block = open; block != 0; block = closes_[block] == 0 ? 0 : else_block(block))
        decided_[block] = fits ? 1 : 2;
    }
    return decided_[open] == 1;
  }

  // At most one statement, no comment, no block within.
  [[nodiscard]] bool short_block(std::size_t open) const {
    const auto close = closes_[open];
    std::size_t statements = 0;
    for (std::size_t i = open + 1; i <= close; ++i) {
      const auto& piece = pieces_[i];
      if (!piece.comments.empty() || piece.text.find_first_of("\r\n") != std::string_view::npos)
        return false;
      if (i == close) break;
      if (piece.token.role == LaidToken::block_open || piece.token.begins_item ||
          piece.token.role == LaidToken::key_colon)
        return false;
      statements += piece.token.begins_statement;
    }
    return statements <= 1;
  }

  void newline() {
    while (!out_.empty() && out_.back() == ' ') out_.pop_back();
    out_ += '\n';
    line_start_ = out_.size();
    fresh_ = true;
  }
  void indent(std::size_t extra = 0) {
    if (!fresh_) return;
    out_.append((depth_ + extra) * 4, ' ');
    fresh_ = false;
  }
  [[nodiscard]] std::size_t column() const { return out_.size() - line_start_; }

  // How far the statement that goes on would run without a break at `i`.
  [[nodiscard]] std::size_t run_length(std::size_t i) const {
    std::size_t length = 0;
    unsigned nested = 0;
    for (auto j = i; j < pieces_.size(); ++j) {
      const auto& piece = pieces_[j];
      if (j > i &&
          (piece.token.begins_statement || piece.token.begins_item ||
           piece.token.role == LaidToken::block_open || piece.token.role == LaidToken::block_close))
        break;
      length += piece.text.size() + (j > i && space_between(pieces_[j - 1], piece));
      if (piece.token.role == LaidToken::call_paren || piece.token.kind == TokenKind::left_paren)
        ++nested;
      if (nested > 0 &&
          (piece.token.role == LaidToken::call_close || piece.token.kind == TokenKind::right_paren))
        --nested;
      if (nested == 0 &&
          (piece.token.kind == TokenKind::comma || piece.token.kind == TokenKind::and_and ||
           piece.token.kind == TokenKind::or_or))
        break;
    }
    return length;
  }

  void comments(const Piece& piece, bool at_statement) {
    for (std::size_t c = 0; c < piece.comments.size(); ++c) {
      const auto& comment = piece.comments[c];
      if (comment.own_line || out_.empty()) {
        if (!fresh_ && !out_.empty()) newline();
        if (comment.empty_before && !out_.empty() && !after_open_) newline();
        indent(at_statement ? 0 : 1);
        out_ += comment.text;
        if (comment.line || at_statement)
          newline();
        else
          out_ += ' ';
      } else {
        if (fresh_ && out_.size() > 1) {
          // It stood behind the last token on its line: back there.
          out_.pop_back();
          fresh_ = false;
        }
        if (!out_.empty() && out_.back() != ' ' && !fresh_) out_ += comment.line ? "  " : " ";
        out_ += comment.text;
        if (comment.line)
          newline();
        else if (at_statement &&
                 (c + 1 < piece.comments.size() ? piece.comments[c + 1].own_line : true))
          out_ += ' ';
        else
          out_ += ' ';
      }
      after_open_ = false;
    }
  }

  void write() {
    std::vector<bool> inline_blocks;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
      const auto& piece = pieces_[i];
      const bool last = i + 1 == pieces_.size();
      const auto role = piece.token.role;
      const bool in_line = !inline_blocks.empty() && inline_blocks.back();
      if (role == LaidToken::block_close) {
        if (in_line) {
          out_ += closes_of_empty(i) ? "}" : " }";
          inline_blocks.pop_back();
          after_open_ = false;
          ended_block_ = true;
          continue;
        }
        comments(piece, true);
        if (!inline_blocks.empty()) inline_blocks.pop_back();
        if (depth_ > 0) --depth_;
        if (!fresh_) newline();
        indent();
        out_ += '}';
        after_open_ = false;
        ended_block_ = true;
        continue;
      }
      const bool is_else = piece.text == "else" && ended_block_;
      const bool begins =
          last || ((piece.token.begins_statement || piece.token.begins_item) && !in_line);
      if (begins && !body_of_head_) {
        const bool trailing = !piece.comments.empty() && !piece.comments.front().own_line;
        if (!trailing && !fresh_ && !out_.empty()) newline();
        comments(piece, true);
        if (!fresh_ && !out_.empty()) newline();
        if (last) break;
        if (piece.empty_before && !after_open_ && !out_.empty()) newline();
        indent();
      } else {
        if (!piece.comments.empty()) {
          comments(piece, false);
          if (fresh_) indent(1);
        }
        if (last) break;
        const bool space =
            !out_.empty() && out_.back() != ' ' && !fresh_ &&
            (is_else || in_line_start(i, in_line) || space_between(pieces_[i - 1], piece));
        if (!in_line && !is_else && role != LaidToken::block_open && role != LaidToken::glued &&
            i > 0 &&
            (pieces_[i - 1].token.kind == TokenKind::comma ||
             pieces_[i - 1].token.kind == TokenKind::and_and ||
             pieces_[i - 1].token.kind == TokenKind::or_or) &&
            column() + run_length(i) + 1 > kWidth && column() > (depth_ + 2) * 4) {
          newline();
          indent(1);
        } else if (space) {
          out_ += ' ';
        }
        if (fresh_) indent(1);
      }
      after_open_ = false;
      ended_block_ = false;
      body_of_head_ = false;
      if (role == LaidToken::block_open) {
        const bool fits = one_line(i, column());
        if (!out_.empty() && out_.back() != ' ' && !fresh_) out_ += ' ';
        out_ += '{';
        inline_blocks.push_back(fits);
        if (!fits) {
          ++depth_;
          after_open_ = true;
          if (i + 1 < pieces_.size() &&
              (pieces_[i + 1].comments.empty() || pieces_[i + 1].comments.front().own_line))
            newline();
        }
        continue;
      }
      out_ += piece.text;
      // What follows `if (...)`, `else`, `for (...)` without braces stays on its line.
      if (role == LaidToken::head_close) body_of_head_ = true;
      if (piece.text == "else" && piece.token.kind == TokenKind::name) body_of_head_ = true;
    }
    while (!out_.empty() && (out_.back() == '\n' || out_.back() == ' ')) out_.pop_back();
    if (!out_.empty()) out_ += '\n';
  }

  [[nodiscard]] bool closes_of_empty(std::size_t i) const {
    return i > 0 && pieces_[i - 1].token.role == LaidToken::block_open;
  }
  [[nodiscard]] bool in_line_start(std::size_t i, bool in_line) const {
    return (in_line && pieces_[i].token.begins_statement) ||
           (i > 0 && pieces_[i - 1].token.role == LaidToken::block_open) || body_of_head_;
  }

  std::string_view text_;
  std::vector<Piece> pieces_;
  std::vector<std::size_t> closes_;
  std::vector<std::uint8_t> decided_;  // of each block's opening: 1 on one line, 2 not
  std::string out_;
  std::size_t depth_ = 0, line_start_ = 0;
  bool fresh_ = true, after_open_ = false, ended_block_ = false, body_of_head_ = false;
};

}  // namespace

std::optional<std::string> format_script(const Source& source, Diagnostics& diagnostics) {
  const auto parsed = parse(source, diagnostics);
  if (diagnostics.errors() > 0) return std::nullopt;
  return Formatter(source.text()).run(parsed.tokens);
}

}  // namespace vitrine::vmipl
