// Finding: one thing that was seen and should not be there, with what shows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine::symptom {

/// As vmipl::severities(), in order: the numbers that programs carry.
enum class Severity : std::uint8_t { info, low, medium, high, critical };
[[nodiscard]] std::string_view name(Severity severity) noexcept;

/// What a symptom's rule reported, and the evidence it reported it by.
///
/// All text is the guest's bytes as they are: whoever prints escapes them. Every part is
/// bounded (the limits below), whatever the guest holds.
struct Finding {
  static constexpr std::size_t kMaxText = 1024;  ///< bytes of one text
  static constexpr std::size_t kMaxBytes = 256;  ///< of `bytes`
  static constexpr std::size_t kMaxItems = 32;   ///< addresses, symbols, columns

  std::string symptom;  ///< its name: "hidden_process"
  Severity severity = Severity::medium;
  std::string technique;  ///< ATT&CK: "T1014"; may be empty
  std::string summary;    ///< what the symptom is, one sentence
  std::string message;    ///< what was seen, as the rule's Report wrote it
  std::string rule;       ///< where the rule stands: "hidden_process.vmi:5"

  std::optional<std::int64_t> pid;       ///< of the process it is about; absent: the kernel's own
  std::string process;                   ///< that process's name
  std::vector<std::uint64_t> addresses;  ///< in the guest's kernel, or of `pid`
  std::vector<std::string> symbols;      ///< names of what lies there
  std::vector<std::byte> bytes;          ///< what stands there, at most kMaxBytes
  /// The row (of a view) or event that showed it: column and value, as `vitrine show` prints it.
  std::vector<std::pair<std::string, std::string>> evidence;

  std::int64_t first_seen = 0;  ///< nanoseconds since 1970 UTC
  std::int64_t last_seen = 0;   ///< likewise
  std::uint64_t times = 1;      ///< passes (or events) that saw it
  /// Equal for what is the same finding: of its symptom and of what identifies its subject (the
  /// view's key columns, else the message). The same in every process and at every run.
  std::uint64_t identity = 0;

  bool operator==(const Finding&) const = default;
};

/// One object of JSON on one line, without the newline; docs/output.md has its keys.
[[nodiscard]] std::string to_json(const Finding& finding);

/// To bytes, within kMaxFindingBytes, and back: what a verdict carries.
inline constexpr std::size_t kMaxFindingBytes = 64 * 1024;
[[nodiscard]] std::vector<std::byte> save(const Finding& finding);
/// From bytes that may be forged; all of them are the finding's.
/// @returns malformed    cut short, longer than it says, a severity that is none
/// @returns unsupported  of another version of Vitrine
/// @returns too_large    a part beyond its limit
[[nodiscard]] Result<Finding> load_finding(Bytes bytes);

}  // namespace vitrine::symptom
