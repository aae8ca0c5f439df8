// What stands at the top of a script: probes, streams, constants, functions, symptoms.
#include <fmt/format.h>

#include "vmipl/habits.h"
#include "vmipl/parser_state.h"

namespace vitrine::vmipl {

void Parser::item(std::vector<ItemId>& into, bool in_symptom) {
  const auto before = token_.span.begin;
  item_at(into, in_symptom);
  if (lost_) recover_item();
  if (token_.span.begin == before && !is(TokenKind::end) &&
      !(in_symptom && is(TokenKind::right_brace))) {
    token_.problem = 0;
    take();  // always on
    recover_item();
  }
}

void Parser::item_at(std::vector<ItemId>& into, bool in_symptom) {
  mark_item();
  if (accept(TokenKind::semicolon)) return;
  if (is(TokenKind::right_brace) && !in_symptom) {
    fail({.code = Code::stray_close,
          .span = token_.span,
          .message = "there is no open `{` that this `}` closes"});
    take();
    lost_ = false;
    return;
  }
  if (foreign_item(into)) return;
  if (foreign_line()) return;
  if (is(TokenKind::channel) && word() == "#define") return foreign_define(into);
  if (is(TokenKind::channel) || is(TokenKind::decrement) || (is(TokenKind::bad) && word() == "#"))
    return foreign_comment();
  if (!is(TokenKind::name)) {
    fail_here(in_symptom ? "a probe, or `}`" : "a probe, Configuration, Symptom, const or fn");
    return;
  }
  if (word() == "Configuration" || word() == "Symptom") {
    if (in_symptom) {
      fail({.code = Code::misplaced,
            .span = token_.span,
            .message = fmt::format("{} stands at the top of a script", word())});
      return;
    }
    word() == "Symptom" ? symptom(into) : configuration(into);
  } else if (word() == "const") {
    constant(into);
  } else if (word() == "fn") {
    function(into);
  } else if ((word() == "function" || word() == "func" || word() == "def" || word() == "sub" ||
              word() == "macro") &&
             lexer_.peek().kind == TokenKind::name) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a function is declared with `fn`",
          .fix = Fix{token_.span, "fn", "write fn"}});
    lost_ = false;
    function(into);
  } else if (word() == "let" || word() == "if" || word() == "for" || word() == "return") {
    fail({.code = Code::misplaced,
          .span = token_.span,
          .message = fmt::format("`{}` stands within a probe's block", word()),
          .hint = word() == "let" ? "for a value known before the start use `const`"
                                  : "put it into `Start { ... }` to run it once"});
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
  Item item{.kind = Item::Kind::configuration,
            .span = token_.span,
            .name_span = token_.span,
            .name = "Configuration"};
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
      if (is(TokenKind::assign)) {
        fail({.code = Code::foreign_syntax,
              .span = token_.span,
              .message = "a key and its value stand apart by `:`",
              .fix = Fix{token_.span, ":", "write :"}});
        lost_ = false;
        take();
        property.value = unary();
        item.properties.push_back(std::move(property));
      } else if (expect(TokenKind::colon, {}, LaidToken::key_colon)) {
        property.value =
            key != nullptr && key->kind == KeyKind::address ? address_argument(true) : unary();
        item.properties.push_back(std::move(property));
      }
    }
    if (lost_) {
      recover_statement();
      if (is(TokenKind::name) && find_key(word()) == nullptr &&
          lexer_.peek().kind != TokenKind::colon)
        break;
    }
  }
  close(TokenKind::right_brace, open, LaidToken::block_close);
  item.span = item.span.to(last_);
  into.push_back(add(std::move(item)));
}

const ProbeInfo* Parser::probe_called(const Token& name, std::uint32_t kinds, Code code,
                                      bool tell) {
  const auto text = word(name);
  const auto* probe = find_probe(text);
  if (probe != nullptr) return probe;
  Nearest nearest(text);
  for (const auto& candidate : probes()) {
    if ((kinds >> static_cast<unsigned>(candidate.kind)) & 1U) nearest.offer(candidate.name);
  }
  const auto habit = (kinds & 1U) != 0 ? probe_name_habit(text) : std::string_view();
  const auto meant = habit.empty() ? nearest.best() : std::string(habit);
  if (tell) {
    const bool event = (kinds & 1U) != 0;
    Diagnostic diagnostic{.code = code,
                          .span = name.span,
                          .message = fmt::format("there is no {} called {}",
                                                 event ? "probe" : "action or data probe", text)};
    if (!meant.empty()) {
      diagnostic.label = fmt::format("did you mean {}?", meant);
      diagnostic.fix = Fix{name.span, meant, fmt::format("write {}", meant)};
    } else {
      diagnostic.hint = "`vitrine probes` lists them all";
    }
    const bool lost = lost_;
    fail(std::move(diagnostic));
    lost_ = lost;  // its name is wrong, its form may be right
  }
  return meant.empty() ? nullptr : find_probe(meant);
}

void Parser::event_item(std::vector<ItemId>& into, bool in_symptom) {
  Item item{.kind = Item::Kind::event,
            .span = token_.span,
            .name_span = token_.span,
            .name = std::string(word())};
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
    if (exact == nullptr && !in_symptom && after.kind != TokenKind::left_brace &&
        after.kind != TokenKind::left_paren && after.kind != TokenKind::comma &&
        !(after.kind == TokenKind::name)) {
      // Not even the form of a probe.
      (void)probe_called(name, 0b01001, Code::unknown_probe);
      lost_ = true;
      return;
    }
    const auto* probe = probe_called(name, 0b01001, Code::unknown_probe);
    known = known && exact != nullptr;
    if (probe == nullptr && after.kind != TokenKind::left_brace &&
        after.kind != TokenKind::left_paren) {
      lost_ = true;
      return;
    }
    if (exact != nullptr && exact->kind != ProbeKind::event) {
      const bool filter = exact->kind == ProbeKind::filter;
      fail({.code = Code::misplaced,
            .span = name.span,
            .message = fmt::format("{} stands within an event probe's block",
                                   name.span.empty() ? "" : word(name)),
            .hint = filter ? "a filter gates a part of an event probe"
                           : fmt::format("to do it once: Start {{ {} }}", signature(*exact))});
      return;
    }
    if (first == nullptr) first = probe;
    ProbeHead head{.span = name.span,
                   .name_span = name.span,
                   .name = probe != nullptr && exact == nullptr ? std::string(probe->name)
                                                                : std::string(word(name))};
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
    if (is(TokenKind::or_or) && !lost_) {
      fail({.code = Code::foreign_syntax,
            .span = token_.span,
            .message = "probes that share a block stand behind commas",
            .fix = Fix{token_.span, ",", "write ,"}});
      lost_ = false;
      take();
      continue;
    }
    if (!accept(TokenKind::comma)) break;
  }
  predicate_and_block(std::move(item), known, into);
}

void Parser::predicate_and_block(Item item, bool known, std::vector<ItemId>& into) {
  if (is(TokenKind::colon)) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a probe's arguments stand in parentheses",
          .hint = "as in ExecuteAt(do_exit) { ... }"});
    return;
  }
  if (is(TokenKind::slash)) {
    Diagnostic diagnostic{.code = Code::foreign_syntax,
                          .span = token_.span,
                          .message = "a predicate is written `when (...)`"};
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
  const bool foreign = is_word("if") || is_word("where") || is_word("WHERE");
  if (foreign) {
    fail({.code = Code::foreign_syntax,
          .span = token_.span,
          .message = "a predicate is written `when (...)`",
          .fix = Fix{token_.span, "when", "write when"}});
    lost_ = false;
  }
  if (foreign || is_word("when")) {
    take();
    const Token open = token_;
    if (is(TokenKind::name) && !token_.first_on_line) {
      const auto begin = token_.span;
      item.when = expression();
      if (!lost_ && assigns_by_mistake("`=` assigns; a comparison is `==`")) item.when = bad(begin);
      if (!lost_) {
        fail({.code = Code::foreign_syntax,
              .span = begin.to(last_),
              .message = "a predicate stands in parentheses",
              .fix = Fix{begin.to(last_), fmt::format("({})", source_.text(begin.to(last_))),
                         "write when (...)"}});
        lost_ = false;
      }
    } else if (expect(TokenKind::left_paren, "`(` and a predicate", LaidToken::head_paren)) {
      item.when = condition(open);
      close(TokenKind::right_paren, open, LaidToken::head_close);
    }
    if (!lost_ &&
        (is(TokenKind::and_and) || is(TokenKind::or_or) || is_word("and") || is_word("or"))) {
      const std::string_view ours = is(TokenKind::or_or) || is_word("or") ? "||" : "&&";
      fail({.code = Code::foreign_syntax,
            .span = token_.span,
            .message = "a predicate is one expression in one pair of parentheses",
            .hint = fmt::format("when ((...) {} (...))", ours)});
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
    const bool value = is(TokenKind::duration) || is(TokenKind::integer) || is(TokenKind::string) ||
                       (is(TokenKind::name) && find_probe(word()) == nullptr);
    if (!item.heads.back().has_parens && value && !token_.first_on_line &&
        lexer_.peek().kind == TokenKind::left_brace) {
      const auto ours = fmt::format("({})", word());
      fail({.code = Code::foreign_syntax,
            .span = token_.span,
            .message = "a probe's arguments stand in parentheses",
            .fix = Fix{token_.span, ours, fmt::format("write {}", ours)}});
      lost_ = false;
      take();
      item.heads.back().broken = true;
      return predicate_and_block(std::move(item), false, into);
    }
    fail({.code = Code::missing_block,
          .span = {last_.end, last_.end},
          .message = fmt::format("{} needs a block, found {}", item.heads.front().name, found()),
          .expected = "{ what to do }"});
    return;
  }
  block(item.body, item.heads.front().name);
  item.span = item.span.to(last_);
  item.kind = known ? Item::Kind::event : Item::Kind::bad;
  into.push_back(add(std::move(item)));
}

void Parser::stream_item(std::vector<ItemId>& into, const ProbeInfo& probe) {
  Item item{.kind = Item::Kind::stream,
            .span = token_.span,
            .name_span = token_.span,
            .name = std::string(probe.name)};
  ProbeHead head{.span = token_.span, .name_span = token_.span, .name = std::string(probe.name)};
  take();
  const Token open = token_;
  if (!expect(TokenKind::left_paren, fmt::format("`(`: {}", signature(probe)),
              LaidToken::call_paren))
    return;
  head.has_parens = true;
  head.args = arguments(&probe, open);
  head.span = head.span.to(last_);
  item.span = head.span;
  item.heads.push_back(std::move(head));
  into.push_back(add(std::move(item)));
  if (is(TokenKind::left_brace) && !lost_) {
    fail({.code = Code::wrong_use,
          .span = token_.span,
          .message = fmt::format("{} is a stream: it has no block", probe.name),
          .hint = "its records go to its output"});
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
  if (!new_name("the constant's name") || !expect(TokenKind::assign)) return;
  item.value = expression();
  item.span = item.span.to(last_);
  into.push_back(add(std::move(item)));
}

void Parser::function(std::vector<ItemId>& into) {
  Item item{.kind = Item::Kind::function, .span = token_.span};
  take();
  item.name_span = token_.span;
  item.name = std::string(word());
  if (!new_name("the function's name")) return;
  const Token open = token_;
  if (!expect(TokenKind::left_paren, "`(` and the parameters", LaidToken::call_paren)) return;
  while (!is(TokenKind::right_paren)) {
    item.parameters.push_back({token_.span, std::string(word())});
    if (!new_name("a parameter's name or `)`")) return;
    if (is(TokenKind::colon)) written_type(TokenKind::comma);
    if (!accept(TokenKind::comma)) break;
  }
  if (!close(TokenKind::right_paren, open, LaidToken::call_close)) return;
  if (is(TokenKind::arrow)) written_type(TokenKind::assign);
  if (is(TokenKind::assign)) {
    const Token next = lexer_.peek();
    if (next.kind == TokenKind::gt && next.span.begin == token_.span.end) {
      const Span sign = token_.span.to(next.span);
      fail({.code = Code::foreign_syntax,
            .span = sign,
            .message = "a function of one value is written fn f(x) = value",
            .fix = Fix{sign, "=", "write ="}});
      lost_ = false;
      take();
      token_.kind = TokenKind::assign;
    }
  }
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
  if (!new_name("the symptom's name")) return;
  const Token open = token_;
  if (!expect(TokenKind::left_brace, {}, LaidToken::block_open)) return;
  while (!is(TokenKind::right_brace) && !is(TokenKind::end)) {
    if (accept(TokenKind::semicolon) || accept(TokenKind::comma)) continue;
    const auto next = is(TokenKind::name) ? lexer_.peek().kind : TokenKind::end;
    if (next == TokenKind::colon || next == TokenKind::assign) {
      mark_statement();
      Property property{.key_span = token_.span, .key = std::string(word())};
      take();
      if (next == TokenKind::assign) {
        fail({.code = Code::foreign_syntax,
              .span = token_.span,
              .message = "a key and its value stand apart by `:`",
              .fix = Fix{token_.span, ":", "write :"}});
        lost_ = false;
      }
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
