// Document: a script that an editor has open, and what Vitrine says of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vmipl/check.h"
#include "vmipl/diagnostic.h"
#include "vmipl/ports.h"
#include "vmipl/source.h"

namespace vitrine::cli {

/// As editors count: lines from 0, and in a line units of UTF-16, from 0.
struct EditorPosition {
  std::uint32_t line = 0;
  std::uint32_t character = 0;
  bool operator==(const EditorPosition&) const = default;
};

/// Where a byte stands.
[[nodiscard]] EditorPosition editor_position(const vmipl::Source& source, std::uint32_t offset);
/// The byte at a position: behind a line's end, its end; behind the last line, the text's end; in
/// the middle of a character, its beginning.
[[nodiscard]] std::uint32_t offset_of(const vmipl::Source& source, EditorPosition position);

class Document {
 public:
  /// Checks at once. `rules` are the ports of scripts with symptoms. The ports must outlive it.
  Document(std::string name, std::string text, const vmipl::Ports& ports,
           const vmipl::Ports& rules);

  [[nodiscard]] const vmipl::Source& source() const noexcept { return source_; }
  [[nodiscard]] const vmipl::Script& script() const noexcept { return checked_.parsed.script; }
  [[nodiscard]] const vmipl::Diagnostics& diagnostics() const noexcept { return diagnostics_; }
  /// Those that this script is checked with.
  [[nodiscard]] const vmipl::Ports& ports() const noexcept { return *ports_; }

 private:
  vmipl::Source source_;
  vmipl::Diagnostics diagnostics_;
  const vmipl::Ports* ports_;
  vmipl::Checked checked_;
};

}  // namespace vitrine::cli
