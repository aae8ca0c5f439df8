// PatientWorker: does one thing at a time on a thread of its own, so that nobody waits for it
// without end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/problem.h"

namespace vitrine::fvm {

class PatientWorker {
 public:
  using Work = std::function<Outcome<std::string>()>;

  PatientWorker();
  /// Does not wait for work that goes on: its thread is left alone with what that holds.
  ~PatientWorker();
  PatientWorker(const PatientWorker&) = delete;
  PatientWorker& operator=(const PatientWorker&) = delete;

  /// What `work` answers.
  /// @returns timeout  no answer within `patience` (the work goes on), or earlier work goes on
  [[nodiscard]] Outcome<std::string> run(Work work, std::chrono::milliseconds patience);

 private:
  struct Desk;  ///< what both threads hold

  std::shared_ptr<Desk> desk_;
  std::thread worker_;
};

}  // namespace vitrine::fvm
