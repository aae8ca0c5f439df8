// Records in print: a line of text, or an object of JSON. docs/output.md has the forms.
#pragma once

#include <string>

#include "probe/record.h"
#include "probe/words.h"
#include "vmipl/program.h"

namespace vitrine::probe {

/// Print's text as it stands; of reports and data probes whole lines. `in_file`: with the date.
[[nodiscard]] std::string record_text(const vmipl::Program& program, const Record& record,
                                      bool in_file, const TextRules& rules);

/// One object, and a newline.
[[nodiscard]] std::string record_json(const vmipl::Program& program, const Record& record,
                                      const TextRules& rules);

/// The beginning that all objects share: {"version":1,"type":"print","time":...
[[nodiscard]] std::string json_head(std::string_view type, std::int64_t wall_ns);

/// "#exec", or a path; empty: the script's own text.
[[nodiscard]] std::string output_name(const vmipl::Program& program, std::uint16_t output);

}  // namespace vitrine::probe
