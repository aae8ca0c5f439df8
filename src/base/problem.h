// Problem: an Error in words, for people.
//
// The floors that meet the outside world (machine, and linux at attach) answer
// with an Outcome: what was being done, what was found, and what to do next.
#pragma once

#include <expected>
#include <string>

#include "base/result.h"

namespace vitrine {

struct Problem {
  Errc code = Errc::invalid;
  std::string message;  ///< one sentence, no trailing full stop: "no QEMU machine is called web9"
  std::string hint;     ///< what to do next; may be empty

  Problem() = default;
  Problem(Errc c, std::string m, std::string h = {})
      : code(c), message(std::move(m)), hint(std::move(h)) {}
  /// The bare words of an Error; callers that know more should say more.
  Problem(const Error& error);  // NOLINT(google-explicit-constructor): TRY relies on it
};

template <class T>
using Outcome = std::expected<T, Problem>;

/// "not_present at 0xffff888000000000 (task_struct.comm)"
[[nodiscard]] std::string describe(const Error& error);

}  // namespace vitrine
