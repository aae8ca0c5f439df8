#include "cli/interrupt.h"

#include <atomic>

namespace vitrine::cli {
namespace {

// A signal handler can be told nothing: what it notes is the process's own.
std::atomic<int> noted{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) { noted.store(signal); }

}  // namespace

InterruptGuard::InterruptGuard() {
  noted.store(0);
  struct sigaction action{};
  action.sa_handler = note;
  std::size_t i = 0;
  for (const int signal : kSignals) sigaction(signal, &action, &before_[i++]);
}

InterruptGuard::~InterruptGuard() {
  std::size_t i = 0;
  for (const int signal : kSignals) sigaction(signal, &before_[i++], nullptr);
}

bool InterruptGuard::interrupted() noexcept { return noted.load() != 0; }
int InterruptGuard::signal() noexcept { return noted.load(); }

}  // namespace vitrine::cli
