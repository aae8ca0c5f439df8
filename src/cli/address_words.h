// Addresses as people type them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "base/problem.h"

namespace vitrine::cli {

/// "0xffffffff81000000"; "ffffffff81000000" (16 hexadecimal digits, as kallsyms prints
/// them); "4096"; "init_task"; "init_task+0x10", "jiffies_64-8".
/// @param symbol  looks a name up
/// @returns invalid  no number and no name's form; else as `symbol`
[[nodiscard]] Outcome<std::uint64_t> parse_address(
    std::string_view text, const std::function<Outcome<Gva>(std::string_view)>& symbol);

/// "0x10", "16", or 16 hexadecimal digits; nothing if it is no number.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

/// "256", "0x100", "4K", "1M". @returns invalid
[[nodiscard]] Outcome<std::uint64_t> parse_length(std::string_view text);

}  // namespace vitrine::cli
