// The reference's tables, printed from the catalogue: for docs/language.md, `vitrine probes`
// and completion. A test keeps the documents fresh.
#pragma once

#include <string>
#include <string_view>

#include "vmipl/catalogue.h"

namespace vitrine::vmipl {

/// `document` with each part between `<!-- generated: NAME -->` and `<!-- end -->` written anew.
/// NAME is probes, fields, filters, data, streams, actions, moment, registers, functions, keys,
/// system-calls or limits. An unknown name leaves its part empty.
[[nodiscard]] std::string refresh_reference(std::string_view document);

/// One table by its name; Markdown.
[[nodiscard]] std::string reference_table(std::string_view name);

/// What a probe carries, in words: "process, thread, cpu, stacks, event.old".
[[nodiscard]] std::string carried(const ProbeInfo& probe);
/// The option that a script with it needs: "--allow-writes"; or nothing.
[[nodiscard]] std::string_view permission(const ProbeInfo& probe) noexcept;
/// All about one probe, for `vitrine probes NAME`, the REPL and editors.
[[nodiscard]] std::string probe_page(const ProbeInfo& probe);

}  // namespace vitrine::vmipl
