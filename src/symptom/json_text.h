// Text and times of findings in JSON, as docs/output.md says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine::symptom {

/// Appends `text` as a JSON string: what is no plain ASCII as \uNNNN.
/// @returns false  it is not valid UTF-8: bytes that belong to no character are the four characters
///   \xNN, and a backslash is two
[[nodiscard]] bool append_json_text(std::string& out, std::string_view text);

/// "2026-11-22T06:19:00.500000000Z"
[[nodiscard]] std::string json_time(std::int64_t nanoseconds);

}  // namespace vitrine::symptom
