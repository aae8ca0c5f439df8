#include "fvm/relay/patient_worker.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace vitrine::fvm {

struct PatientWorker::Desk {
  std::mutex mutex;
  std::condition_variable changed;
  Work work;  ///< that goes on, or is about to
  std::optional<Outcome<std::string>> answer;
  bool abandoned = false;  ///< nobody waits for the answer any more
  bool ending = false;

  void serve() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return ending || work; });
      if (ending) return;
      const auto now = work;
      lock.unlock();
      auto done = now();
      lock.lock();
      if (!abandoned) answer = std::move(done);
      work = nullptr;
      changed.notify_all();
    }
  }
};

PatientWorker::PatientWorker()
    : desk_(std::make_shared<Desk>()), worker_([desk = desk_] { desk->serve(); }) {}

PatientWorker::~PatientWorker() {
  bool busy;
  {
    const std::lock_guard lock(desk_->mutex);
    desk_->ending = true;
    busy = static_cast<bool>(desk_->work);
  }
  desk_->changed.notify_all();
  if (busy)
    worker_.detach();
  else
    worker_.join();
}

Outcome<std::string> PatientWorker::run(Work work, std::chrono::milliseconds patience) {
  std::unique_lock lock(desk_->mutex);
  if (desk_->work)
    return std::unexpected(
        Problem(Errc::timeout, "the machine's manager has not done what it was asked before"));
  desk_->work = std::move(work);
  desk_->answer.reset();
  desk_->abandoned = false;
  desk_->changed.notify_all();
  if (!desk_->changed.wait_for(lock, patience, [&] { return desk_->answer.has_value(); })) {
    desk_->abandoned = true;
    return std::unexpected(Problem(
        Errc::timeout, "the machine's manager does not answer; it may still do what it was told"));
  }
  return *std::exchange(desk_->answer, std::nullopt);
}

}  // namespace vitrine::fvm
