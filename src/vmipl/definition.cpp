#include "vmipl/definition.h"

#include <map>
#include <string_view>
#include <vector>

namespace vitrine::vmipl {
namespace {

/// One walk over a script, in the order of its text, with the names that hold at each place.
class Finder {
 public:
  Finder(const Script& script, std::uint32_t offset) : script_(script), offset_(offset) {}

  std::optional<Definition> find() {
    for (const auto& item : script_.items) {
      if (item.kind == Item::Kind::constant)
        globals_.try_emplace(item.name,
                             Named{item.name, Definition::constant, item.name_span, item.span});
      if (item.kind == Item::Kind::function)
        globals_.try_emplace(item.name,
                             Named{item.name, Definition::function, item.name_span, item.span});
      if (item.kind == Item::Kind::symptom)
        symptoms_.try_emplace(item.name,
                              Named{item.name, Definition::symptom, item.name_span, item.span});
    }
    for (const auto id : script_.top) item(script_.at(id));
    return conclude();
  }

 private:
  struct Named {
    std::string name;
    Definition::Kind kind = Definition::variable;
    Span declared, whole;
  };

  [[nodiscard]] bool at(Span span) const {
    return !span.empty() && span.begin <= offset_ && offset_ <= span.end;
  }

  // A use: what it means is known from the scopes now, or, of maps and channels, at the end.
  void use(Span span, const Named* named) {
    if (found_ || !at(span) || named == nullptr) return;
    found_ = Definition{named->kind, span, named->declared, named->whole};
  }
  void declare(Definition::Kind kind, const std::string& name, Span span, Span whole) {
    scope_.push_back({name, kind, span, whole});
    use(span, &scope_.back());
  }
  [[nodiscard]] const Named* look_up(const std::string& name) const {
    for (auto named = scope_.rbegin(); named != scope_.rend(); ++named) {
      if (named->name == name) return &*named;
    }
    const auto global = globals_.find(name);
    return global == globals_.end() ? nullptr : &global->second;
  }

  void item(const Item& item) {
    const auto scope = scope_.size();
    if (at(item.name_span)) {
      if (const auto global = globals_.find(item.name); global != globals_.end())
        use(item.name_span, &global->second);
      if (item.kind == Item::Kind::symptom) use(item.name_span, &symptoms_.at(item.name));
    }
    for (const auto& head : item.heads) {
      for (const auto arg : head.args) expression(arg);
    }
    for (const auto& parameter : item.parameters)
      declare(Definition::parameter, parameter.name, parameter.span, item.span);
    expression(item.when);
    expression(item.value);
    for (const auto& property : item.properties) expression(property.value);
    statements(item.body);
    for (const auto id : item.items) this->item(script_.at(id));
    scope_.resize(scope);
  }

  void statements(const std::vector<StmtId>& body) {
    const auto scope = scope_.size();
    for (const auto id : body) statement(script_.at(id));
    scope_.resize(scope);
  }

  void statement(const Stmt& stmt) {
    switch (stmt.kind) {
      case Stmt::Kind::let:
        expression(stmt.a);
        declare(Definition::variable, stmt.name, stmt.name_span, stmt.span);
        return;
      case Stmt::Kind::assign:
        if (stmt.a != ExprId::none && script_.at(stmt.a).kind == Expr::Kind::map)
          written_.try_emplace(script_.at(stmt.a).text, name_of(script_.at(stmt.a)), stmt.span);
        expression(stmt.a);
        expression(stmt.b);
        return;
      case Stmt::Kind::for_range:
      case Stmt::Kind::for_view: {
        expression(stmt.a);
        expression(stmt.b);
        const auto scope = scope_.size();
        declare(Definition::variable, stmt.name, stmt.name_span,
                {stmt.span.begin, stmt.name_span.end});
        statements(stmt.body);
        scope_.resize(scope);
        return;
      }
      default:
        expression(stmt.a);
        expression(stmt.b);
        statements(stmt.body);
        statements(stmt.other);
    }
  }

  /// `@name` of an expression that may go on with keys.
  static Span name_of(const Expr& expr) {
    return {expr.span.begin, expr.span.begin + 1 + static_cast<std::uint32_t>(expr.text.size())};
  }

  void expression(ExprId id) {
    if (id == ExprId::none) return;
    const Expr& expr = script_.at(id);
    switch (expr.kind) {
      case Expr::Kind::name:
        use(expr.span, look_up(expr.text));
        break;
      case Expr::Kind::call:
        use(expr.name_span, look_up(expr.text));
        break;
      case Expr::Kind::map: {
        const auto name = name_of(expr);
        used_.try_emplace(expr.text, name, expr.span);
        if (at(name) && !wanted_map_) wanted_map_.emplace(expr.text, name);
        break;
      }
      case Expr::Kind::output:
        if (expr.value != 1) break;
        channels_.try_emplace(expr.text, expr.span);
        if (at(expr.span) && !wanted_channel_) wanted_channel_.emplace(expr.text, expr.span);
        break;
      case Expr::Kind::string:
        if (const auto symptom = symptoms_.find(expr.text); symptom != symptoms_.end())
          use(expr.span, &symptom->second);
        break;
      default:
        break;
    }
    expression(expr.a);
    expression(expr.b);
    expression(expr.c);
    for (const auto arg : expr.args) expression(arg);
  }

  std::optional<Definition> conclude() const {
    if (found_) return found_;
    if (wanted_map_) {
      const auto& [name, use] = *wanted_map_;
      const auto written = written_.find(name);
      const auto& [declared, whole] = written != written_.end() ? written->second : used_.at(name);
      return Definition{Definition::map, use, declared, whole};
    }
    if (wanted_channel_) {
      const auto& [name, use] = *wanted_channel_;
      return Definition{Definition::channel, use, channels_.at(name), channels_.at(name)};
    }
    return std::nullopt;
  }

  const Script& script_;
  const std::uint32_t offset_;
  std::map<std::string, Named, std::less<>> globals_, symptoms_;
  std::vector<Named> scope_;
  std::map<std::string, std::pair<Span, Span>> written_, used_;
  std::map<std::string, Span> channels_;
  std::optional<std::pair<std::string, Span>> wanted_map_, wanted_channel_;
  std::optional<Definition> found_;
};

}  // namespace

std::optional<Definition> find_definition(const Script& script, std::uint32_t offset) {
  return Finder(script, offset).find();
}

}  // namespace vitrine::vmipl
