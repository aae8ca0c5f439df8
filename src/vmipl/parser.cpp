#include "vmipl/parser.h"

#include <fmt/format.h>

#include "vmipl/habits.h"
#include "vmipl/parser_state.h"

namespace vitrine::vmipl {

std::string_view text(Op op) noexcept {
  constexpr std::string_view kTexts[] = {"", "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "-", "~", "!", "&", "*"};
  return kTexts[static_cast<std::size_t>(op)];
}

ParseResult parse(const Source& source, Diagnostics& diagnostics) { return Parser(source, diagnostics).run(); }

Parser::Parser(const Source& source, Diagnostics& diagnostics)
    : source_(source), diagnostics_(diagnostics), lexer_(source, diagnostics) {
  token_ = lexer_.next();
}

ParseResult Parser::run() {
  while (!is(TokenKind::end)) item(script_.top, false);
  return {std::move(script_), lexer_.allowances(), std::move(laid_)};
}

Token Parser::take(LaidToken::Role role) {
  const Token taken = token_;
  if (!lexer_.report(taken)) lost_ = true;
  if (taken.kind != TokenKind::end) {
    laid_.push_back({taken.span, taken.kind, role, statement_next_, item_next_});
    statement_next_ = item_next_ = false;
    last_ = taken.span;
  }
  token_ = lexer_.next();
  return taken;
}

void Parser::mark_statement() { statement_next_ = true; }
void Parser::mark_item() { item_next_ = true; }

bool Parser::accept(TokenKind kind, LaidToken::Role role) {
  if (!is(kind)) return false;
  take(role);
  return true;
}

std::string Parser::found() const {
  if (is(TokenKind::end)) return "the end of the script";
  auto text = word();
  if (text.size() > 40) return fmt::format("`{}...`", text.substr(0, 37));
  return fmt::format("`{}`", text);
}

void Parser::fail(Diagnostic diagnostic) {
  if (!lost_) diagnostics_.add(std::move(diagnostic));
  lost_ = true;
}

void Parser::fail_here(std::string expected) {
  if (is(TokenKind::bad) && token_.problem != 0) {
    // The lexer knows better what is wrong here.
    if (!lost_) lexer_.report(token_);
    token_.problem = 0;
    lost_ = true;
    return;
  }
  Span span = token_.span;
  if (is(TokenKind::end) || (token_.first_on_line && last_.end > 0)) {
    // What is missing is missing after the last token, not at the start of some later line.
    span = {last_.end, last_.end};
    if (is(TokenKind::end)) span = {last_.begin, last_.end};
  }
  fail({.code = Code::unexpected, .span = span,
        .message = fmt::format("expected {}, found {}", expected, found())});
}

bool Parser::expect(TokenKind kind, std::string_view expected, LaidToken::Role role) {
  if (accept(kind, role)) return true;
  std::string words(expected);
  if (words.empty()) {
    words = describe(kind);
    if (words.find(' ') == std::string::npos) words = fmt::format("`{}`", words);
  }
  fail_here(std::move(words));
  return false;
}

std::size_t Parser::indentation(std::uint32_t offset) const {
  const auto line = source_.text(source_.line_span(source_.line_of(offset)));
  const auto first = line.find_first_not_of(" \t");
  return first == std::string_view::npos ? 0 : first;
}

void Parser::skip_to_block() {
  while (!is(TokenKind::end) && !is(TokenKind::left_brace) && !is(TokenKind::right_brace) && !token_.first_on_line) {
    token_.problem = 0;
    take();
  }
}

bool Parser::close(TokenKind kind, const Token& open, LaidToken::Role role) {
  if (is(kind) && kind == TokenKind::right_brace && token_.first_on_line && suspect_.empty() &&
      indentation(token_.span.begin) < indentation(open.span.begin)) {
    suspect_ = open.span;
  }
  if (accept(kind, role)) return true;
  if (lost_) return false;
  if (is(TokenKind::bad) && token_.problem != 0) {
    fail_here({});
    return false;
  }
  const auto sign = describe(kind);
  const bool gone = is(TokenKind::end) || is(TokenKind::right_brace) || is(TokenKind::left_brace) || is(TokenKind::right_paren) || is(TokenKind::right_bracket) ||
                    is(TokenKind::semicolon) || token_.first_on_line;
  if (gone && kind != TokenKind::right_brace) {
    fail({.code = Code::unclosed, .span = {last_.end, last_.end},
          .message = fmt::format("expected `{}`, found {}", sign, found()),
          .fix = Fix{{last_.end, last_.end}, std::string(sign), fmt::format("write `{}` here", sign)},
          .notes = {{open.span, fmt::format("this `{}` is not closed", word(open))}}});
  } else if (kind == TokenKind::right_brace) {
    Diagnostic diagnostic{.code = Code::unclosed, .span = open.span, .message = fmt::format("this `{}` is never closed", word(open)), .label = "opened here",
                          .expected = fmt::format("`{}` before {}", sign, found())};
    if (!suspect_.empty()) diagnostic.notes.push_back({suspect_, "or this one: the `}` after it stands further left"});
    fail(std::move(diagnostic));
  } else {
    fail({.code = Code::unexpected, .span = token_.span,
          .message = fmt::format("expected `{}`{}, found {}", sign, kind == TokenKind::right_paren ? " or `,`" : "", found()),
          .notes = {{open.span, "opened here"}}});
  }
  return false;
}

ExprId Parser::add(Expr expr) {
  unsigned depth = 0;
  const auto deeper = [&](ExprId id) {
    if (id != ExprId::none) depth = std::max<unsigned>(depth, at(id).depth);
  };
  deeper(expr.a);
  deeper(expr.b);
  deeper(expr.c);
  for (const auto arg : expr.args) deeper(arg);
  if (depth >= kMaxDepth) {
    if (!hit_depth_) {
      fail({.code = Code::too_deep, .span = expr.span, .message = fmt::format("this expression is more than {} deep", kMaxDepth),
            .hint = "split it with `let`"});
      hit_depth_ = true;
    }
    lost_ = true;
    expr = Expr{.kind = Expr::Kind::bad, .span = expr.span};
    depth = 0;
  }
  expr.depth = static_cast<std::uint16_t>(depth + 1);
  script_.exprs.push_back(std::move(expr));
  return static_cast<ExprId>(script_.exprs.size() - 1);
}

Nest::Nest(Parser& parser) : parser_(parser), good_(++parser.depth_ <= kMaxDepth) {
  if (good_) return;
  if (!parser.hit_depth_) {
    parser.fail({.code = Code::too_deep, .span = parser.token_.span, .message = fmt::format("this is nested more than {} deep", kMaxDepth),
                 .hint = "split it with `let` or `fn`"});
    parser.hit_depth_ = true;
  }
  parser.lost_ = true;
}

// After a mistake inside a block: on to the next statement. A token that begins a line
// begins a statement, for that is how people write.
void Parser::recover_statement() {
  unsigned depth = 0;
  bool moved = false;
  while (!is(TokenKind::end)) {
    if (depth == 0) {
      if (is(TokenKind::right_brace)) break;
      if (is(TokenKind::semicolon)) {
        take();
        break;
      }
      if (moved && token_.first_on_line && (is(TokenKind::name) || is(TokenKind::map))) break;
    }
    if (is(TokenKind::left_brace)) ++depth;
    if (is(TokenKind::right_brace) && depth > 0) --depth;
    const auto saved = token_.problem;
    token_.problem = 0;  // what is skipped is not judged
    (void)saved;
    take();
    moved = true;
  }
  lost_ = false;
}

// On to something at the start of a line that looks like an item.
void Parser::recover_item() {
  unsigned depth = 0;
  while (!is(TokenKind::end)) {
    if (depth == 0 && token_.first_on_line && is(TokenKind::name)) {
      const char first = word().front();
      if ((first >= 'A' && first <= 'Z') || word() == "const" || word() == "fn") break;
    }
    if (is(TokenKind::left_brace)) ++depth;
    const bool closes = is(TokenKind::right_brace) && depth > 0;
    token_.problem = 0;
    take();
    if (closes && --depth == 0) break;
  }
  lost_ = false;
}

// A probe as bpftrace or DTrace writes it: told what it is here, and its block read all the same.
bool Parser::foreign_item(std::vector<ItemId>& into) {
  if (!is(TokenKind::name) || find_probe(word()) != nullptr) return false;
  const auto next = lexer_.peek().kind;
  if (next != TokenKind::left_brace && next != TokenKind::colon && next != TokenKind::minus && next != TokenKind::slash) return false;
  auto head = source_.text(source_.line_span(source_.line_of(token_.span.begin)));
  head.remove_prefix(token_.span.begin - source_.line_span(source_.line_of(token_.span.begin)).begin);
  head = head.substr(0, std::min(head.find('{'), head.find(" /")));
  while (!head.empty() && (head.back() == ' ' || head.back() == '\t')) head.remove_suffix(1);
  auto habit = probe_habit(head);
  if (!habit) return false;
  const Span span{token_.span.begin, token_.span.begin + static_cast<std::uint32_t>(head.size())};
  Diagnostic diagnostic{.code = Code::foreign_syntax, .span = span, .message = std::string(habit->why)};
  if (!habit->written.empty()) diagnostic.fix = Fix{span, habit->written, fmt::format("write {}", habit->written)};
  fail(std::move(diagnostic));
  Item item{.kind = Item::Kind::event, .span = span, .name_span = span, .name = std::string(habit->probe)};
  item.heads.push_back({.span = span, .name_span = span, .name = std::string(habit->probe), .broken = true});
  while (!is(TokenKind::end) && token_.span.begin < span.end) {
    token_.problem = 0;
    take();
  }
  lost_ = false;
  predicate_and_block(std::move(item), false, into);
  return true;
}

void Parser::item(std::vector<ItemId>& into, bool in_symptom) {
  const auto before = token_.span.begin;
  item_at(into, in_symptom);
  if (lost_) recover_item();
  if (token_.span.begin == before && !is(TokenKind::end) && !(in_symptom && is(TokenKind::right_brace))) {
    token_.problem = 0;
    take();  // always on
    recover_item();
  }
}

void Parser::item_at(std::vector<ItemId>& into, bool in_symptom) {
  mark_item();
  if (accept(TokenKind::semicolon)) return;
  if (is(TokenKind::right_brace) && !in_symptom) {
    fail({.code = Code::stray_close, .span = token_.span, .message = "there is no open `{` that this `}` closes"});
    take();
    lost_ = false;
    return;
  }
  if (foreign_item(into)) return;
  if (is(TokenKind::channel) || (is(TokenKind::bad) && word() == "#")) return foreign_comment();
  if (!is(TokenKind::name)) {
    fail_here(in_symptom ? "a probe, or `}`" : "a probe, Configuration, Symptom, const or fn");
    return;
  }
  if (word() == "Configuration" || word() == "Symptom") {
    if (in_symptom) {
      fail({.code = Code::misplaced, .span = token_.span, .message = fmt::format("{} stands at the top of a script", word())});
      return;
    }
    word() == "Symptom" ? symptom(into) : configuration(into);
  } else if (word() == "const") {
    constant(into);
  } else if (word() == "fn") {
    function(into);
  } else if ((word() == "function" || word() == "func" || word() == "def" || word() == "sub" || word() == "macro") && lexer_.peek().kind == TokenKind::name) {
    fail({.code = Code::foreign_syntax, .span = token_.span, .message = "a function is declared with `fn`", .fix = Fix{token_.span, "fn", "write fn"}});
    lost_ = false;
    function(into);
  } else if (word() == "let" || word() == "if" || word() == "for" || word() == "return") {
    fail({.code = Code::misplaced, .span = token_.span, .message = fmt::format("`{}` stands within a probe's block", word()),
          .hint = word() == "let" ? "for a value known before the start use `const`" : "put it into `Start { ... }` to run it once"});
  } else {
    const auto* probe = find_probe(word());
    if (probe != nullptr && probe->kind == ProbeKind::stream) {
      stream_item(into, *probe);
    } else {
      event_item(into, in_symptom);
    }
  }
}

void Parser::configuration(std::vector<ItemId>& into) {
  Item item{.kind = Item::Kind::configuration, .span = token_.span, .name_span = token_.span, .name = "Configuration"};
  take();
  const Token open = token_;
  if (!expect(TokenKind::left_brace, {}, LaidToken::block_open)) return;
  while (!is(TokenKind::right_brace) && !is(TokenKind::end)) {
    if (accept(TokenKind::semicolon) || accept(TokenKind::comma)) continue;
    mark_statement();
    if (!is(TokenKind::name)) {
      fail_here("a configuration key");
    } else {
      Property property{.key_span = token_.span, .key = std::string(word())};
      const auto* key = find_key(word());
      take();
      if (expect(TokenKind::colon, {}, LaidToken::key_colon)) {
        property.value = key != nullptr && key->kind == KeyKind::address ? address_argument(true) : unary();
        item.properties.push_back(std::move(property));
      }
    }
    if (lost_) {
      recover_statement();
      if (is(TokenKind::name) && find_key(word()) == nullptr && lexer_.peek().kind != TokenKind::colon) break;
    }
  }
  close(TokenKind::right_brace, open, LaidToken::block_close);
  item.span = item.span.to(last_);
  into.push_back(add(std::move(item)));
}

const ProbeInfo* Parser::probe_called(const Token& name, std::uint32_t kinds, Code code, bool tell) {
  const auto text = word(name);
  const auto* probe = find_probe(text);
  if (probe != nullptr) return probe;
  Nearest nearest(text);
  for (const auto& candidate : probes()) {
    if ((kinds >> static_cast<unsigned>(candidate.kind)) & 1U) nearest.offer(candidate.name);
  }
  if (tell) {
    const bool event = (kinds & 1U) != 0;
    Diagnostic diagnostic{.code = code, .span = name.span, .message = fmt::format("there is no {} called {}", event ? "probe" : "action or data probe", text)};
    if (nearest.found()) {
      diagnostic.label = fmt::format("did you mean {}?", nearest.best());
      diagnostic.fix = Fix{name.span, nearest.best(), fmt::format("write {}", nearest.best())};
    } else {
      diagnostic.hint = "`vitrine probes` lists them all";
    }
    const bool lost = lost_;
    fail(std::move(diagnostic));
    lost_ = lost;  // its name is wrong, its form may be right
  }
  return nearest.found() ? find_probe(nearest.best()) : nullptr;
}

void Parser::event_item(std::vector<ItemId>& into, bool in_symptom) {
  Item item{.kind = Item::Kind::event, .span = token_.span, .name_span = token_.span, .name = std::string(word())};
  const ProbeInfo* first = nullptr;
  bool known = true;
  for (;;) {
    if (!is(TokenKind::name)) {
      fail_here("a probe");
      return;
    }
    const Token name = token_;
    const Token after = lexer_.peek();
    const auto* exact = find_probe(word());
    if (exact == nullptr && !in_symptom && after.kind != TokenKind::left_brace && after.kind != TokenKind::left_paren && after.kind != TokenKind::comma && !(after.kind == TokenKind::name)) {
      // Not even the form of a probe.
      (void)probe_called(name, 0b01001, Code::unknown_probe);
      lost_ = true;
      return;
    }
    const auto* probe = probe_called(name, 0b01001, Code::unknown_probe);
    known = known && exact != nullptr;
    if (probe == nullptr && after.kind != TokenKind::left_brace && after.kind != TokenKind::left_paren) {
      lost_ = true;
      return;
    }
    if (exact != nullptr && exact->kind != ProbeKind::event) {
      const bool filter = exact->kind == ProbeKind::filter;
      fail({.code = Code::misplaced, .span = name.span,
            .message = fmt::format("{} stands within an event probe's block", name.span.empty() ? "" : word(name)),
            .hint = filter ? "a filter gates a part of an event probe" : fmt::format("to do it once: Start {{ {} }}", signature(*exact))});
      return;
    }
    if (first == nullptr) first = probe;
    ProbeHead head{.span = name.span, .name_span = name.span, .name = probe != nullptr && exact == nullptr ? std::string(probe->name) : std::string(word(name))};
    take();
    bool broken = false;
    if (is(TokenKind::left_paren)) {
      const Token open = take(LaidToken::call_paren);
      head.has_parens = true;
      head.args = arguments(probe, open);
      if (lost_) {
        // A broken argument list: the block is worth reading all the same.
        skip_to_block();
        if (!is(TokenKind::left_brace)) return;
        lost_ = false;
        known = false;
        broken = true;
      }
    }
    head.span = head.span.to(last_);
    head.broken = broken;
    item.heads.push_back(std::move(head));
    if (!accept(TokenKind::comma)) break;
  }
  predicate_and_block(std::move(item), known, into);
}

void Parser::predicate_and_block(Item item, bool known, std::vector<ItemId>& into) {
  if (is(TokenKind::colon)) {
    fail({.code = Code::foreign_syntax, .span = token_.span, .message = "a probe's arguments stand in parentheses",
          .hint = "as in ExecuteAt(do_exit) { ... }"});
    return;
  }
  if (is(TokenKind::slash)) {
    Diagnostic diagnostic{.code = Code::foreign_syntax, .span = token_.span, .message = "a predicate is written `when (...)`"};
    // Skip to its closing slash, and read on.
    const Span open = token_.span;
    token_.problem = 0;
    take();
    while (!is(TokenKind::end) && !is(TokenKind::slash) && !is(TokenKind::left_brace)) {
      token_.problem = 0;
      take();
    }
    if (is(TokenKind::slash)) {
      auto inner = source_.text({open.end, token_.span.begin});
      while (inner.starts_with(' ')) inner.remove_prefix(1);
      while (inner.ends_with(' ')) inner.remove_suffix(1);
      if (inner.find_first_of("\r\n") == std::string_view::npos) {
        const auto written = fmt::format("when ({})", inner);
        diagnostic.fix = Fix{open.to(token_.span), written, fmt::format("write {}", written)};
      }
    }
    if (!diagnostic.fix) diagnostic.hint = "as in Syscall(openat) when (process.pid == 1) { ... }";
    fail(std::move(diagnostic));
    accept(TokenKind::slash);
    lost_ = false;
  }
  if (is_word("if")) {
    fail({.code = Code::foreign_syntax, .span = token_.span, .message = "a predicate is written `when (...)`",
          .fix = Fix{token_.span, "when", "write when"}});
    lost_ = false;
    token_.kind = TokenKind::name;
    take();
    const Token open = token_;
    if (expect(TokenKind::left_paren, {}, LaidToken::head_paren)) {
      item.when = expression();
      close(TokenKind::right_paren, open, LaidToken::head_close);
    }
  } else if (is_word("when")) {
    take();
    const Token open = token_;
    if (is(TokenKind::name) && !token_.first_on_line) {
      const auto begin = token_.span;
      item.when = expression();
      if (!lost_) {
        fail({.code = Code::foreign_syntax, .span = begin.to(last_), .message = "a predicate stands in parentheses",
              .fix = Fix{begin.to(last_), fmt::format("({})", source_.text(begin.to(last_))), "write when (...)"}});
        lost_ = false;
      }
    } else if (expect(TokenKind::left_paren, "`(` and a predicate", LaidToken::head_paren)) {
      item.when = expression();
      if (is(TokenKind::assign) && !lost_) {
        fail({.code = Code::assignment_in_condition, .span = token_.span, .message = "`=` assigns; a comparison is `==`", .fix = Fix{token_.span, "==", "write =="}});
        take();
        lost_ = false;
        (void)expression();
        item.when = bad(open.span);  // it is not known what was meant
      }
      close(TokenKind::right_paren, open, LaidToken::head_close);
    }
    if (lost_) {
      skip_to_block();
      if (!is(TokenKind::left_brace)) return;
      lost_ = false;
      item.when = ExprId::none;
    }
  }
  if (!is(TokenKind::left_brace)) {
    if (lost_) return;
    fail({.code = Code::missing_block, .span = {last_.end, last_.end}, .message = fmt::format("{} needs a block, found {}", item.heads.front().name, found()),
          .expected = "{ what to do }"});
    return;
  }
  block(item.body, item.heads.front().name);
  item.span = item.span.to(last_);
  item.kind = known ? Item::Kind::event : Item::Kind::bad;
  into.push_back(add(std::move(item)));
}

void Parser::stream_item(std::vector<ItemId>& into, const ProbeInfo& probe) {
  Item item{.kind = Item::Kind::stream, .span = token_.span, .name_span = token_.span, .name = std::string(probe.name)};
  ProbeHead head{.span = token_.span, .name_span = token_.span, .name = std::string(probe.name)};
  take();
  const Token open = token_;
  if (!expect(TokenKind::left_paren, fmt::format("`(`: {}", signature(probe)), LaidToken::call_paren)) return;
  head.has_parens = true;
  head.args = arguments(&probe, open);
  head.span = head.span.to(last_);
  item.span = head.span;
  item.heads.push_back(std::move(head));
  into.push_back(add(std::move(item)));
  if (is(TokenKind::left_brace) && !lost_) {
    fail({.code = Code::wrong_use, .span = token_.span, .message = fmt::format("{} is a stream: it has no block", probe.name), .hint = "its records go to its output"});
    std::vector<StmtId> ignored;
    lost_ = false;
    block(ignored, probe.name);
  }
}

void Parser::constant(std::vector<ItemId>& into) {
  Item item{.kind = Item::Kind::constant, .span = token_.span};
  take();
  item.name_span = token_.span;
  item.name = std::string(word());
  if (!expect(TokenKind::name, "the constant's name") || !expect(TokenKind::assign)) return;
  item.value = expression();
  item.span = item.span.to(last_);
  into.push_back(add(std::move(item)));
}

void Parser::function(std::vector<ItemId>& into) {
  Item item{.kind = Item::Kind::function, .span = token_.span};
  take();
  item.name_span = token_.span;
  item.name = std::string(word());
  if (!expect(TokenKind::name, "the function's name")) return;
  const Token open = token_;
  if (!expect(TokenKind::left_paren, "`(` and the parameters", LaidToken::call_paren)) return;
  while (!is(TokenKind::right_paren)) {
    item.parameters.push_back({token_.span, std::string(word())});
    if (!expect(TokenKind::name, "a parameter's name or `)`")) return;
    if (!accept(TokenKind::comma)) break;
  }
  if (!close(TokenKind::right_paren, open, LaidToken::call_close)) return;
  if (accept(TokenKind::assign)) {
    item.value = expression();
  } else if (is(TokenKind::left_brace)) {
    block(item.body, item.name);
  } else {
    fail_here("`{` or `=`");
    return;
  }
  item.span = item.span.to(last_);
  into.push_back(add(std::move(item)));
}

void Parser::symptom(std::vector<ItemId>& into) {
  Item item{.kind = Item::Kind::symptom, .span = token_.span};
  take();
  item.name_span = token_.span;
  item.name = std::string(word());
  if (!expect(TokenKind::name, "the symptom's name")) return;
  const Token open = token_;
  if (!expect(TokenKind::left_brace, {}, LaidToken::block_open)) return;
  while (!is(TokenKind::right_brace) && !is(TokenKind::end)) {
    if (accept(TokenKind::semicolon) || accept(TokenKind::comma)) continue;
    if (is(TokenKind::name) && lexer_.peek().kind == TokenKind::colon) {
      mark_statement();
      Property property{.key_span = token_.span, .key = std::string(word())};
      take();
      take(LaidToken::key_colon);
      property.value = conditional();
      item.properties.push_back(std::move(property));
      if (lost_) recover_statement();
    } else {
      const auto before = token_.span.begin;
      this->item(item.items, true);
      if (token_.span.begin == before) break;
    }
  }
  close(TokenKind::right_brace, open, LaidToken::block_close);
  item.span = item.span.to(last_);
  into.push_back(add(std::move(item)));
}

}  // namespace vitrine::vmipl
