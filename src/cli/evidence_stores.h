// Where evidence lies: what a word on the command line means, and all stores there are.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"

namespace vitrine::cli {

/// $VITRINE_STATE, or /var/lib/vitrine: what vitrined calls its state folder.
[[nodiscard]] std::filesystem::path default_state_folder();

/// The stores under STATE/evidence, by name.
/// @returns not_found  there is no such folder, or nothing in it; denied
[[nodiscard]] Outcome<std::vector<std::filesystem::path>> evidence_stores(
    const std::filesystem::path& state);

/// A path of a store, or the name of a guest that has one.
[[nodiscard]] Outcome<std::filesystem::path> evidence_store(const std::filesystem::path& state,
                                                            std::string_view word);

}  // namespace vitrine::cli
