// Scripts that run, as other commands see them: by their control sockets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/problem.h"

namespace vitrine::cli {

struct RunningScript {
  std::string socket;
  std::int64_t pid = 0;
  std::string machine;  ///< its name
  std::string script;
  std::vector<std::uint64_t> requests;  ///< numbers it waits for
};

/// Of this user, on the machine of that name; those that do not answer are left out.
[[nodiscard]] std::vector<RunningScript> running_scripts(std::string_view machine);

/// Sends request `number`. @returns how many probes fire for it
[[nodiscard]] Outcome<std::uint64_t> send_request(const RunningScript& script,
                                                  std::uint64_t number);

/// Another text in its place. @returns invalid  what the script has against it
[[nodiscard]] Outcome<void> replace_script(const RunningScript& script, std::string_view name,
                                           std::string_view text);

/// The answers of the other side.
[[nodiscard]] std::string who_answer(const RunningScript& script);
[[nodiscard]] std::string good_answer(std::uint64_t probes = 0);
[[nodiscard]] std::string bad_answer(const Problem& problem);

}  // namespace vitrine::cli
