// What the language server says of one document, as LSP's JSON. Internal to language_server.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/language_server/document.h"

namespace vitrine::cli {

/// PublishDiagnosticsParams.diagnostics
[[nodiscard]] nlohmann::json diagnostics_json(const std::string& uri, const Document& document);
/// CompletionItem[]
[[nodiscard]] nlohmann::json completion_json(const Document& document, EditorPosition at);
/// Hover, or null
[[nodiscard]] nlohmann::json hover_json(const Document& document, EditorPosition at);
/// Location, or null
[[nodiscard]] nlohmann::json definition_json(const std::string& uri, const Document& document,
                                             EditorPosition at);
/// TextEdit[]: one for all of the text; none where it is in canonical form; null if it has mistakes
[[nodiscard]] nlohmann::json formatting_json(const Document& document);
/// CodeAction[]: the fixes of the diagnostics that touch the range, and how to silence its warnings
[[nodiscard]] nlohmann::json actions_json(const std::string& uri, const Document& document,
                                          EditorPosition begin, EditorPosition end);

}  // namespace vitrine::cli
