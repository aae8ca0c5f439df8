// The catalogue of diagnostics: one stable code each. `vitrine explain E012` and
// docs/errors.md are printed from it; a code is never given to another mistake.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vitrine::vmipl {

enum class Severity : std::uint8_t { error, warning };

enum class Code : std::uint8_t {
  // bytes and words
  invalid_utf8,
  nul_byte,
  unexpected_character,
  unterminated_string,
  unterminated_comment,
  script_too_large,
  bad_escape,
  bad_number,
  number_too_large,
  bad_sign,
  // syntax
  unexpected,
  unclosed,
  stray_close,
  too_deep,
  foreign_syntax,
  chained_comparison,
  misplaced,
  assignment_in_condition,
  missing_block,
  // names
  unknown_probe,
  unknown_action,
  unknown_function,
  unknown_name,
  unknown_field,
  unknown_view,
  unknown_key,
  unknown_register,
  unknown_symbol,
  unknown_type,
  unknown_member,
  duplicate_name,
  unknown_property,
  unknown_system_call,
  unknown_column,
  // arguments
  argument_count,
  wrong_argument,
  missing_output,
  bad_mac,
  bad_output,
  out_of_range,
  not_here,
  wrong_use,
  // types
  type_mismatch,
  not_a_condition,
  wrong_type,
  map_keys,
  map_value,
  not_assignable,
  bad_cast,
  not_a_pointer,
  not_a_structure,
  not_indexable,
  no_value,
  aggregation_misuse,
  recursion,
  not_constant,
  division_by_zero,
  format_count,
  format_type,
  format_unknown,
  outside_loop,
  missing_return,
  // limits and permissions
  too_many,
  needs_writes,
  needs_control,
  needs_kernel,
  too_large,
  missing_property,
  // warnings
  unused_let,
  unused_const,
  unused_fn,
  shadowing,
  unreachable,
  always_false,
  always_true,
  unwritten_map,
  no_effect,
  duplicate_key,
  ambiguous_address,
  unchecked_symbol,
  leading_zero,
  empty_block,
  empty_script,
  unknown_warning,
  unused_parameter,
  configuration_differs,
  empty_range,
  shift_out,
  unused_row,
  count_,
};

struct CodeInfo {
  std::string_view code;  ///< "E050", "W004"
  std::string_view name;  ///< "unknown-probe": how a warning is silenced
  Severity severity;
  std::string_view title;        ///< one line
  std::string_view explanation;  ///< paragraphs, with what is wrong and what is right
};

[[nodiscard]] const CodeInfo& info(Code code) noexcept;
/// In order of their numbers.
[[nodiscard]] std::span<const CodeInfo> all_codes() noexcept;
/// By code ("E050", "e050") or name ("unknown-probe"); nullptr if there is none.
[[nodiscard]] const CodeInfo* find_code(std::string_view word) noexcept;

/// What `vitrine explain` prints.
[[nodiscard]] std::string explain(const CodeInfo& code);
/// docs/errors.md, whole.
[[nodiscard]] std::string errors_document();

}  // namespace vitrine::vmipl
