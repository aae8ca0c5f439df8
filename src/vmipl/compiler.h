// The checker and the builder of programs, in one walk. Internal to compile*.cpp.
//
// Each expression is judged and its code written at once: a function's body is walked at each
// call, with the types of that call, and so is a block for each of its probes. A script is
// walked several times, silently until the types of its maps stand still, then aloud. What is
// written while anything is wrong or unknown is thrown away.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vmipl/ast.h"
#include "vmipl/check.h"
#include "vmipl/diagnostic.h"
#include "vmipl/program.h"
#include "vmipl/types.h"

namespace vitrine::vmipl {

/// What an expression gave.
struct Value {
  Type type;
  Span span;
  bool constant = false;  ///< number or text is known
  std::uint64_t number = 0;
  std::string text;

  // Where it is, if it is anywhere: a register, or a place in the guest still to be read.
  bool in_register = false;
  std::uint8_t reg = 0;
  bool is_place = false;  ///< n[reg] is the base, and:
  std::string path;       ///< "struct task_struct.mm": to relocate; empty: `offset` as it stands
  std::uint64_t offset_bits = 0;
  std::uint8_t bit_width = 0;  ///< of a bit field

  bool is_symbol = false;  ///< address of `text` + number
  std::string group;       ///< of kind group: "process"
  std::uint8_t slot = 0;   ///< row: which view slot
  std::uint32_t use = 0;   ///< row: index into Program::views
  Aggregate aggregate = Aggregate::none;
  std::int64_t low = 0, high = 0, step = 0;
  std::uint16_t longest = UINT16_MAX;  ///< text: bytes that can occur
  bool literal = false;                ///< a number as written
  bool typed = false;                  ///< a constant whose sign a cast said
  bool argument = false;               ///< arg0 to arg5: an address as often as a number
};

/// Its number in the catalogue.
[[nodiscard]] std::uint8_t probe_index(const ProbeInfo& probe);

class Compiler {
 public:
  Compiler(const Source& source, const Script& script, const CheckOptions& options,
           Diagnostics& diagnostics);
  /// @returns the program, if nothing was wrong and nothing unknown.
  std::optional<Program> run();
  [[nodiscard]] const std::vector<CheckedProbe>& checked() const { return checked_; }

 private:
  struct Local {
    std::string name;
    Span span;
    Value value;
    bool text_register = false;
  };
  struct MapState {
    std::string name;
    bool keys_known = false, value_known = false;
    std::vector<Type> keys;
    Type value;  // of an entry; aggregations: of what is counted
    Aggregate aggregate = Aggregate::none;
    std::int64_t low = 0, high = 0, step = 0;
    Span first_keys, first_value, first_read;
    bool written = false, read = false;
    std::optional<Fix> adds;  // @x = @x + 1, as it is meant
    unsigned assigned = 0;    // how often, in this pass
    std::uint32_t id = 0;
  };
  struct Loop {
    std::vector<std::size_t> breaks, continues;  // jumps to set
  };
  struct Inlined {
    const Item* function;
    bool has_value = false;
    Value value;
    std::vector<std::size_t> returns;
  };
  using OpPlace = std::size_t;

  // ---- compile.cpp: passes, items
  void pass();
  void declare();
  void top(const Item& item);
  void configuration(const Item& item);
  void event(const Item& item, const Item* symptom);
  void stream(const Item& item);
  void symptom(const Item& item);
  void function_alone(const Item& item);
  void finish();
  std::vector<ProbeArgument> probe_arguments(const ProbeInfo& probe, const ProbeHead& head);
  std::optional<ProbeArgument> probe_argument(const ProbeInfo& probe, const Param& param,
                                              ExprId id);
  std::optional<ProbeArgument> module_argument(const Value& value, ParamKind kind);
  bool count_arguments(const ProbeInfo& probe, Span name, const std::vector<ExprId>& args);

  // ---- compile_statements.cpp
  void block(const std::vector<StmtId>& body);
  void statement(const Stmt& stmt);
  void let(const Stmt& stmt);
  void assign(const Stmt& stmt);
  [[nodiscard]] bool is_free_name(ExprId id) const;
  void if_(const Stmt& stmt);
  void for_range(const Stmt& stmt);
  void for_view(const Stmt& stmt);
  [[nodiscard]] bool adds_up(const std::vector<StmtId>& body) const;
  void filter(const Stmt& stmt);
  void return_(const Stmt& stmt);
  void expression_statement(const Stmt& stmt);
  Value condition(ExprId id, bool told = true);  // a truth value, in a register or constant
  [[nodiscard]] bool falls_through() const { return !left_; }

  // ---- compile_expressions.cpp
  bool spent(Span span);  // all that may be looked at in a pass was looked at; told
  Value expression(ExprId id);
  Value rvalue(ExprId id);  // read, if it is a place; never a structure, group ...
  Value rvalue(Value value);
  Value name(const Expr& expr);
  Value constant_item(const Item& item, const Expr& use);
  Value field(const Expr& expr);
  Value arrow(const Expr& expr);
  Value member(const Value& base, const Expr& expr);
  Value index(const Expr& expr);
  Value unary(const Expr& expr);
  Value binary(const Expr& expr);
  Value logic(const Expr& expr);
  Value compare(const Expr& expr, Value left, Value right);
  Value arithmetic(const Expr& expr, Op op, Value left, Value right, Span sign, Span whole);
  Value conditional(const Expr& expr);
  Value cast(const Expr& expr);
  Value size_of(const Expr& expr);
  Value offset_of(const Expr& expr);
  Value map_read(const Expr& expr);
  Value symbol(std::string name, Span span);
  Value address_expression(ExprId id);  // where an address stands
  Value unknown_name(const Expr& expr);
  Value untyped(const Value& pointer, Span span);
  Value moment(const MomentInfo& info, Span span);
  Value event_field(std::string_view name, Span name_span, Span span);
  std::optional<GuestType> guest_type(const TypeName& type);
  Type guest_value_type(GuestType type);  // of a value read from there
  Value place_at(Value base_address, GuestType type, Span span);
  const std::vector<ViewColumn>* columns_of(const std::string& view);  // null: unknown

  // ---- compile_calls.cpp
  Value call(const Expr& expr);
  Value function_call(const Expr& expr, const FunctionInfo& info);
  Value inlined(const Expr& expr, const Item& function);
  Value act(const Expr& expr, const ProbeInfo& probe);
  Value map_statement(const Expr& expr, const FunctionInfo& info);
  Value aggregation(const Expr& expr, const FunctionInfo& info);
  void print_or_report(const Expr& expr, const ProbeInfo& probe);
  [[nodiscard]] bool points_to_text(const Value& value) const;
  void format(Site& site, ExprId format, const std::vector<ExprId>& args, std::size_t first);
  void operand(Site& site, Value value);
  std::uint16_t output(ExprId id);
  std::optional<std::uint8_t> register_name(ExprId id);
  bool want_text(Value& value, std::string_view what, bool or_list = false);
  bool want_number(Value& value, std::string_view what);
  bool want_address(Value& value, std::string_view what);

  // ---- compile_maps.cpp
  MapState& map_state(const std::string& name);
  std::optional<std::vector<Operand>> map_keys(MapState& map, const Expr& expr,
                                               std::vector<Value>& keep);
  [[nodiscard]] bool same_family(const Type& a, const Type& b) const;
  /// One can stand where the other was: also what pointers point to is the same.
  [[nodiscard]] bool fits(const Type& a, const Type& b) const;
  /// "a pointer to struct file": describe(), and more where it is known.
  [[nodiscard]] std::string described(const Type& type) const;
  void widen(MapState& map, const Value& value, Op op);

  // ---- mistakes
  void tell(Diagnostic diagnostic);
  Value mistake(Diagnostic diagnostic) {
    const Span span = diagnostic.span;
    tell(std::move(diagnostic));
    return error(span);
  }
  Value error(Span span) {
    broken_ = true;
    return Value{.type = type_of(TypeKind::error), .span = span};
  }
  Value unknown(Span span) {
    if (!incomplete_ && first_unknown_.empty()) first_unknown_ = span;
    incomplete_ = true;
    return Value{.type = type_of(TypeKind::unknown), .span = span};
  }
  /// @param meant  what it is for certain, whatever is near; may be empty.
  void suggest(Diagnostic& diagnostic, const Nearest& nearest, Span span,
               std::string_view meant = {});
  [[nodiscard]] std::string quote(Span span) const;

  // ---- code (compile_code.cpp)
  OpPlace emit(Opcode op, std::uint8_t a = 0, std::uint8_t b = 0, std::uint8_t c = 0,
               std::int32_t imm = 0);
  void patch(OpPlace at) {
    if (at < program_.code.size()) program_.code[at].imm = here();
  }
  [[nodiscard]] std::int32_t here() const {
    return static_cast<std::int32_t>(program_.code.size());
  }
  std::uint8_t new_number();
  std::uint8_t new_text();
  std::int32_t pool(std::uint64_t number);
  std::int32_t pool(const std::string& text);
  std::int32_t relocated(Relocation relocation, std::uint64_t value, unsigned count = 1,
                         std::uint64_t second = 0, std::uint64_t third = 0);
  std::int32_t operand_list(const std::vector<Operand>& operands);
  std::uint8_t number(Value& value);  // into a number register
  std::uint8_t text(Value& value);    // into a text register
  static std::string_view text(Op op) { return vmipl::text(op); }
  Operand in_operand(Value& value);
  Value result(Type type, Span span, std::uint8_t reg) {
    return Value{.type = type, .span = span, .in_register = true, .reg = reg};
  }
  Value number_constant(std::uint64_t value, Type type, Span span) {
    return Value{.type = type, .span = span, .constant = true, .number = value};
  }
  Value boolean(bool value, Span span) {
    return number_constant(value, type_of(TypeKind::boolean), span);
  }
  Value read_place(const Value& place);
  Value address_of_place(const Value& place);

  struct Scope {
    explicit Scope(Compiler& compiler)
        : c(compiler),
          locals(c.locals_.size()),
          numbers(c.next_number_),
          texts(c.next_text_),
          slots(c.next_slot_) {}
    ~Scope() {
      c.locals_.resize(locals);
      c.next_number_ = numbers;
      c.next_text_ = texts;
      c.next_slot_ = slots;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    Compiler& c;
    std::size_t locals;
    unsigned numbers, texts, slots;
  };
  void declare_local(Local local, Code unused);

  const Source& source_;
  const Script& script_;
  const CheckOptions& options_;
  Diagnostics& told_;
  bool aloud_ = false;
  bool broken_ = false;      // something is wrong
  bool incomplete_ = false;  // something is unknown without a guest
  bool widened_ = false;     // a map's values turned out to be signed, in this pass
  Span first_unknown_;

  Program program_;
  std::map<std::string, const Item*, std::less<>> constants_, functions_, symptoms_;
  std::map<const Item*, Value> constant_values_;  // of those that are known
  std::map<std::string, MapState, std::less<>> maps_;
  std::map<std::uint64_t, std::int32_t> number_pool_;
  std::map<std::string, std::int32_t> text_pool_;
  std::set<std::uint32_t> used_;  // declarations, by where they stand
  std::map<std::uint32_t, std::pair<Span, Code>> declared_;
  std::vector<CheckedProbe> checked_;
  std::map<std::string, std::optional<std::vector<ViewColumn>>, std::less<>>
      columns_;  // of views asked for

  // of the probe being walked
  const ProbeInfo* probe_ = nullptr;
  const Item* symptom_ = nullptr;
  std::uint64_t symptom_severity_ = 0;
  std::uint32_t needs_ = 0;  // of the probe being walked
  bool lenient_ = false;     // a function that nobody calls: any event
  std::vector<Local> locals_;
  std::set<std::string, std::less<>> undeclared_;  // assigned to without a `let`; told
  std::vector<Loop> loops_;
  std::vector<Inlined> inlined_;
  std::vector<std::string> const_stack_;
  unsigned next_number_ = 0, next_text_ = 0, next_slot_ = 0, most_numbers_ = 0, most_texts_ = 0;
  bool left_ = false;                 // the code so far always leaves
  bool full_ = false;                 // E134 was told
  std::size_t steps_ = 0;             // expressions and statements looked at in this pass
  std::size_t floor_ = 0;             // locals below it belong to the caller
  unsigned in_address_ = 0;           // names may be symbols here, without a word
  bool bare_statement_ = false;       // a name stands where a statement is expected
  std::vector<std::string> assumed_;  // symbols taken for granted, of this probe
};

}  // namespace vitrine::vmipl
