// The reference of views, generated from their catalogue.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "linux/view.h"

namespace vitrine::cli {

/// docs/reference/views.md.
[[nodiscard]] std::string views_reference(std::span<const linux::View* const> views);

/// "shown", "hidden", "on request".
[[nodiscard]] std::string_view name_of(linux::Column::Show show);

}  // namespace vitrine::cli
