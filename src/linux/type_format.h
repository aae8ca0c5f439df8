// The guest's types in C's words: names, declarations, and structures as pahole shows them.
#pragma once

#include <string>
#include <string_view>

#include "linux/type_catalogue.h"

namespace vitrine::linux {

/// How C writes the type: "struct task_struct *", "unsigned int [16]", "int (*)(void)".
/// An anonymous struct is "struct (anon)".
[[nodiscard]] std::string type_name(const btf::Type& type);

/// How C declares `name` with it: "struct list_head *next", "char comm[16]",
/// "void (*release)(struct device *)".
[[nodiscard]] std::string declaration(const btf::Type& type, std::string_view name);

/// The definition of a struct, union, enumeration, typedef, or function, in C. Structs
/// and unions as pahole shows them: each member's offset and size in bytes, holes,
/// padding and cache lines; bit fields as "offset: bit".
/// Anonymous compounds are laid out in place. Ends with a newline.
/// Cost: in proportion to the text, which is at most 1 MiB; then it ends with a remark.
[[nodiscard]] std::string format_type(const btf::Type& type);

}  // namespace vitrine::linux
