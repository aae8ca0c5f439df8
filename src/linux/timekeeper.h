// Where the kernel keeps its time.
#pragma once

#include "base/address.h"
#include "base/problem.h"

namespace vitrine::linux {

class Kernel;

struct TimekeeperPlace {
  Gva sequence;    ///< a seqcount: odd, or other after reading than before: read again
  Gva timekeeper;  ///< struct timekeeper
};

/// Source: kernel/time/timekeeping.c: tk_core is { seqcount_raw_spinlock_t; timekeeper } until
/// 6.12 (the lock's address is in it where PREEMPT_RT or lockdep is built in) and struct tk_data
/// from 6.13 on; from 6.17 on the first of timekeeper_data[].
/// @returns not_found  the symbol or type that is missing
[[nodiscard]] Outcome<TimekeeperPlace> find_timekeeper(const Kernel& kernel);

}  // namespace vitrine::linux
