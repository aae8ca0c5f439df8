// Session: the machine a command was given, opened, and its kernel attached.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "cli/command.h"

namespace vitrine::cli {

/// The machine that was named, or the only one that runs (said on stderr).
/// @returns invalid    none was named, and several run
/// @returns not_found  none was named, and none runs; or as World::open_machine()
[[nodiscard]] Outcome<std::unique_ptr<Machine>> open_machine(Context& context,
                                                             const Arguments& words);

class Session {
 public:
  /// Opens and attaches; prints the machine's and the kernel's warnings, a line each.
  [[nodiscard]] static Outcome<Session> open(Context& context, const Arguments& words);

  [[nodiscard]] Machine& machine() const { return *machine_; }
  [[nodiscard]] Guest& guest() const { return *guest_; }

  /// What became of the machine while it was read.
  /// @returns vanished  it is gone, or runs another kernel now: what was printed may be torn
  [[nodiscard]] Outcome<void> still_there() const;
  /// The machine lives, but another kernel runs on it than the one that was attached to.
  [[nodiscard]] bool other_kernel() const;
  /// Another attached kernel of this machine in the place of its own. @returns the one before
  std::unique_ptr<Guest> use(std::unique_ptr<Guest> next) {
    return std::exchange(guest_, std::move(next));
  }
  /// done, or doubtful if the attach's self-test failed.
  [[nodiscard]] Status status() const;

 private:
  std::unique_ptr<Machine> machine_;  // before the guest, which needs it to its end
  std::unique_ptr<Guest> guest_;
};

/// Adds what went wrong meanwhile: a Problem met on a machine that is gone says so.
[[nodiscard]] Problem explain(Problem problem, const Session& session);

}  // namespace vitrine::cli
