#include "cli/evidence_stores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace vitrine::cli {

std::filesystem::path default_state_folder() {
  const char* chosen = std::getenv("VITRINE_STATE");
  return chosen != nullptr && *chosen != 0 ? chosen : "/var/lib/vitrine";
}

Outcome<std::vector<std::filesystem::path>> evidence_stores(const std::filesystem::path& state) {
  const auto folder = state / "evidence";
  std::error_code error;
  std::vector<std::filesystem::path> stores;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    auto store = entry.path() / "evidence.db";
    std::error_code unused;
    if (std::filesystem::exists(store, unused)) stores.push_back(std::move(store));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return std::unexpected(Problem(
        Errc::denied, fmt::format("{} cannot be read: {}", folder.string(), error.message()),
        "evidence is for vitrined's user and root"));
  }
  if (stores.empty()) {
    return std::unexpected(Problem(Errc::not_found,
                                   fmt::format("no evidence in {}", folder.string()),
                                   "name a store, or another state folder: --state DIR"));
  }
  std::ranges::sort(stores);
  return stores;
}

Outcome<std::filesystem::path> evidence_store(const std::filesystem::path& state,
                                              std::string_view word) {
  std::error_code error;
  if (std::filesystem::is_regular_file(word, error)) return std::filesystem::path(word);
  if (word.find('/') == std::string_view::npos) {
    const auto store = state / "evidence" / word / "evidence.db";
    if (std::filesystem::exists(store, error)) return store;
    if (error == std::errc::permission_denied)
      return std::unexpected(Problem(Errc::denied,
                                     fmt::format("no permission to read {}", store.string()),
                                     "evidence is for vitrined's user and root"));
  }
  return std::unexpected(
      Problem(Errc::not_found, fmt::format("there is no evidence store {}", word),
              fmt::format("a path, or a guest's name under {}", (state / "evidence").string())));
}

}  // namespace vitrine::cli
