// A structure's values, for people and for programs.
#pragma once

#include <functional>
#include <string>

#include "cli/escape.h"
#include "linux/object_value.h"

namespace vitrine::cli {

/// What an address is called; empty if nothing is there that has a name.
using NameOfAddress = std::function<std::string(Gva)>;

/// As C writes an initializer: a member a line, structures indented. "?" stands for what cannot
/// be read, "0xffffffff81000100 <do_exit>" for a pointer to something with a name. No newline at
/// the end.
[[nodiscard]] std::string object_text(const linux::ObjectValue& value, const NameOfAddress& name,
                                      Charset charset);

/// As JSON, in one line: objects, arrays, numbers; pointers as "0x..." (JSON's numbers end at
/// 2^53), enumerators by name, bytes as hexadecimal, null for what cannot be read. An array is as
/// long as what was read of it.
[[nodiscard]] std::string object_json(const linux::ObjectValue& value);

/// Is anything in it that could not be read?
[[nodiscard]] bool has_unreadable(const linux::ObjectValue& value);

}  // namespace vitrine::cli
