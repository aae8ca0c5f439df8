// The reference's tables, printed from the catalogue: for docs/language.md, `vitrine probes`
// and completion. A test keeps the documents fresh.
#pragma once

#include <string>
#include <string_view>

namespace vitrine::vmipl {

/// `document` with each part between `<!-- generated: NAME -->` and `<!-- end -->` written anew.
/// NAME is probes, fields, filters, data, streams, actions, moment, registers, functions, keys,
/// system-calls or limits. An unknown name leaves its part empty.
[[nodiscard]] std::string refresh_reference(std::string_view document);

/// One table by its name; Markdown.
[[nodiscard]] std::string reference_table(std::string_view name);

/// What `vitrine probes [GLOB]` prints: a line for each probe whose name fits.
[[nodiscard]] std::string probe_lines(std::string_view glob);

}  // namespace vitrine::vmipl
