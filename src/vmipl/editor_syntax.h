// Syntax highlighting for editors, made from the catalogue: what colours a name is what checks it.
#pragma once

#include <string>

namespace vitrine::vmipl {

/// editors/vim/syntax/vmi.vim, whole.
[[nodiscard]] std::string vim_syntax();
/// editors/vscode/syntaxes/vmi.tmLanguage.json, whole: a TextMate grammar.
[[nodiscard]] std::string textmate_grammar();

}  // namespace vitrine::vmipl
