// How far apart two names are: for telling people what they may have meant.
#pragma once

#include <cstddef>
#include <string_view>

namespace vitrine {

/// How many edits (insert, delete or replace a character, swap neighbours) apart, at most `limit`
/// (then `limit` + 1). Names of more than 128 bytes are always further apart.
/// Cost: the product of the lengths, less where `limit` ends it early.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

}  // namespace vitrine
