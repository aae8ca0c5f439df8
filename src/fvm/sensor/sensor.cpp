#include "fvm/sensor/sensor.h"

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <mutex>

#include "fvm/canary.h"
#include "linux/field.h"
#include "linux/tasks.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kBeat{20};      ///< between heartbeats
constexpr milliseconds kBusyBeat{10};  ///< while a pass or an attach is on: where engines hang
constexpr milliseconds kListen{10};    ///< between looks at a control page that wakes nobody
constexpr milliseconds kStep{30};      ///< at most between two steps at rest
constexpr milliseconds kStandbyBeat{100};
/// Thousandths of a core that looks out of turn may take, beside those in turn.
constexpr std::int64_t kWishShare = 50;
constexpr nanoseconds kWishMost = milliseconds(500);  ///< at once, after a rest
constexpr nanoseconds kSearchAgain = std::chrono::seconds(1);
constexpr nanoseconds kSearchSeldom = std::chrono::seconds(15);
constexpr nanoseconds kLongestRest = std::chrono::seconds(60);
/// How long a kernel may seem to boot. A kernel that never gets there is looked at all the same.
constexpr nanoseconds kLongestBoot = std::chrono::seconds(120);

/// A kernel that boots patches its own text, unpacks, maps and frees: much of that looks like an
/// attack. It is done with it before it executes the first program: then init has user memory.
bool is_booted(const linux::Kernel& kernel) {
  linux::Field<Gva> mm;
  linux::FieldBinder bind(kernel.types());
  bind(mm, "task_struct.mm");
  const auto tasks = linux::TaskList::open(kernel);
  if (!bind.done() || !tasks) return true;
  const auto init = tasks->init_process();
  if (!init) return false;
  const auto memory = mm.read(kernel.memory(), init);
  return memory && *memory;
}

nanoseconds cpu_time(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

}  // namespace

void Sensor::run(const std::function<Outcome<void>()>& ready) {
  // What is large and short-lived (a kernel's text, to be searched) goes back to where it came
  // from: the C library would raise this bound at the first large block, and keep them all in the
  // heap.
  ::mallopt(M_MMAP_THRESHOLD, 256 * 1024);
  ::pthread_getcpuclockid(::pthread_self(), &engine_clock_);
  std::jthread heart([this](const std::stop_token& stop) { beat(stop); });
  if (const auto done = ready(); !done) {
    reporter_.note(done.error().message, 0);
    return;
  }
  while (!reporter_.closed()) {
    listen();
    if (orders_.generation == 0) {
      wait(kStep);
      continue;
    }
    watch();
  }
}

/// A heart that loses its CPU between the two would tell old steps beside new CPU time, or the
/// other way round: one step of a length that none had.
Sensor::Progress Sensor::progress() const {
  constexpr nanoseconds kApart = milliseconds(1);
  Progress progress{};
  for (int attempt = 0; attempt < 16; ++attempt) {
    const auto before = cpu_time(engine_clock_);
    progress.steps = pulse_.progress;
    const auto after = cpu_time(engine_clock_);
    progress.engine_ns = static_cast<std::uint64_t>(after.count());
    if (after - before < kApart) break;
  }
  return progress;
}

/// The heart is a thread of its own, so that long work is no death; whether the engine moves is
/// told by its steps, by what CPU time it took since the last of them, and by the canary, which
/// only the engine's thread answers.
void Sensor::beat(const std::stop_token& stop) {
  while (!stop.stop_requested() && !reporter_.closed()) {
    const auto [steps, engine_ns] = progress();
    Heartbeat heartbeat{
        .counter = pulse_.counter.fetch_add(1) + 1,
        .progress = steps,
        .passes = pulse_.passes,
        .pass_ns = pulse_.pass_ns,
        .cpu_ns = static_cast<std::uint64_t>(cpu_time(CLOCK_PROCESS_CPUTIME_ID).count()),
        .engine_ns = engine_ns,
        .standing = pulse_.standing,
        .dropped = pulse_.dropped,
        .phase = pulse_.phase};
    const auto generation = pulse_.generation.load();
    reporter_.report(heartbeat, generation);
    // Standby: short naps, so that the first beat of an assignment is not late.
    for (auto rest = generation == 0 ? kStandbyBeat : kBeat;
         rest.count() > 0 && !stop.stop_requested(); rest -= kBeat) {
      const auto phase = pulse_.phase.load();
      const bool busy = phase == Phase::attaching || phase == Phase::scanning;
      std::this_thread::sleep_for(busy ? kBusyBeat : kBeat);
      if (generation == 0 && pulse_.generation != 0) break;
    }
  }
}

/// Reads the control page if it moved, and answers a new challenge.
void Sensor::listen() {
  pulse_.step();
  const auto sequence = looked_sequence_ = orders_sequence(page_);
  if (sequence == seen_sequence_) return;
  std::array<std::byte, kCanaryArea> area;
  auto orders = read_orders(page_, area);
  if (!orders) return;
  // Only the first assignment counts; what follows are challenges.
  if (orders_.generation == 0) orders_ = *orders;
  orders_.cpu_share = orders->cpu_share;
  orders_.look_round = orders->look_round;
  // An answer says "I have the guest": not before the RAM is there.
  if (orders_.generation != 0 && machine_ == nullptr) return;
  seen_sequence_ = sequence;
  if (orders->canary_round == answered_round_) return;
  answered_round_ = orders->canary_round;
  reporter_.report(FrameType::canary, answer_canary(*orders, area), pulse_.generation);
}

/// Something happened, and its looks have not taken their share of time yet.
bool Sensor::is_wished() {
  if (orders_.look_round == looked_round_ || kernel_ == nullptr) return false;
  const auto now = Clock::now();
  wish_budget_ = std::min(kWishMost, wish_budget_ + (now - wish_counted_) * kWishShare / 1000);
  wish_counted_ = now;
  return wish_budget_.count() > 0;
}

void Sensor::wait(nanoseconds time) {
  const auto until = Clock::now() + time;
  while (!reporter_.closed()) {
    listen();
    const auto left = until - Clock::now();
    if (left.count() <= 0 || is_wished() ||
        (pulse_.phase == Phase::standby && orders_.generation != 0))
      return;
    wait_for_orders(page_, looked_sequence_, std::min<nanoseconds>(left, kStep), kListen);
  }
}

void Sensor::watch() {
  if (machine_ == nullptr) {
    pulse_.phase = Phase::attaching;
    pulse_.generation = orders_.generation;
    auto files = ram_(orders_);
    if (!files) {
      reporter_.note(fmt::format("no RAM: {}", describe(files.error())), orders_.generation);
      return wait(kSearchAgain);
    }
    // During a pass the control page is looked at every few reads: a look is one load.
    auto machine =
        AssignedMachine::create(orders_.segments, std::move(*files), [this] { listen(); });
    if (!machine) {
      reporter_.note(
          fmt::format("the RAM that was assigned cannot be used: {}", describe(machine.error())),
          orders_.generation);
      return wait(kSearchAgain);
    }
    machine_ = std::move(*machine);
    listen();
  }
  if (kernel_ == nullptr || !kernel_->still_there()) {
    engine_.reset();
    kernel_.reset();
    pulse_.phase = Phase::attaching;
    const auto begin = Clock::now();
    if (!attach()) {
      // A guest that boots is found soon; one that has no Linux at all costs little.
      pulse_.phase = Phase::no_kernel;
      return wait(
          std::clamp<nanoseconds>((Clock::now() - begin) * 20, kSearchAgain, kSearchSeldom));
    }
  }
  if (pulse_.passes > 0 && Clock::now() < pass_due_)
    look_out_of_turn();
  else
    look();
  pulse_.phase = Phase::resting;
  wait(pass_due_ - Clock::now());
}

bool Sensor::attach() {
  auto kernel = linux::Kernel::attach(*machine_, {});
  if (!kernel) {
    if (kernel.error().message != no_kernel_) {
      no_kernel_ = kernel.error().message;
      reporter_.note(fmt::format("no kernel yet: {}", no_kernel_), orders_.generation);
    }
    return false;
  }
  no_kernel_.clear();
  if (!is_booted(**kernel)) {
    if (boots_since_ == Clock::time_point()) boots_since_ = Clock::now();
    if (Clock::now() - boots_since_ < kLongestBoot) return false;
    reporter_.note("the guest's init has not started for two minutes: it is looked at as it is",
                   orders_.generation);
  }
  boots_since_ = {};
  auto engine = make_engine_(**kernel, [this] { listen(); });
  if (!engine) {
    reporter_.note(engine.error().message, orders_.generation);
    return false;
  }
  kernel_ = std::move(*kernel);
  engine_ = std::move(*engine);
  reporter_.begin(kernel_->identity().release, orders_.generation);
  for (const auto& problem : engine_->problems()) reporter_.note(problem, orders_.generation);
  pulse_.passes = 0;
  listen();
  ::malloc_trim(0);
  listen();
  return true;
}

void Sensor::tell(const symptom::PassReport& report) {
  const auto each = [&](FrameType type, const std::vector<symptom::Finding>& findings) {
    for (const auto& finding : findings) {
      reporter_.report(type, finding, orders_.generation);
      listen();
    }
  };
  each(FrameType::finding, report.fresh);
  each(FrameType::gone, report.gone);
  pulse_.standing = static_cast<std::uint32_t>(report.known);
  pulse_.dropped = static_cast<std::uint32_t>(report.dropped);
}

/// All that a look at the kernel and its processes tells, at once; memory is searched for patterns
/// in turn. A guest that makes things happen all the time is looked at as often as its share
/// allows.
void Sensor::look_out_of_turn() {
  looked_round_ = orders_.look_round;
  const auto before = cpu_time(CLOCK_THREAD_CPUTIME_ID);
  kernel_->refresh();
  pulse_.phase = Phase::scanning;
  tell(engine_->pass({.all = true, .patterns = false, .pids = {}}));
  ::malloc_trim(0);
  pulse_.passes.fetch_add(1);
  wish_budget_ -= cpu_time(CLOCK_THREAD_CPUTIME_ID) - before;
}

void Sensor::look() {
  looked_round_ = orders_.look_round;
  const auto before = cpu_time(CLOCK_THREAD_CPUTIME_ID);
  kernel_->refresh();
  const bool first = pulse_.passes == 0;
  // The first pass compiles patterns and learns what is usual: as long as an attach.
  pulse_.phase = first ? Phase::attaching : Phase::scanning;
  const auto report = engine_->pass({.all = first, .pids = {}});
  tell(report);
  pulse_.pass_ns = static_cast<std::uint64_t>(report.took.count());
  const auto passes = pulse_.passes.fetch_add(1) + 1;
  if (first) {
    reporter_.report(
        Completion{.passes = passes, .standing = static_cast<std::uint32_t>(report.known)},
        orders_.generation);
    for (const auto& note : report.notes) reporter_.note(note, orders_.generation);
  }
  // In the long run passes take their share of a core and no more.
  ::malloc_trim(0);
  const auto took = cpu_time(CLOCK_THREAD_CPUTIME_ID) - before;
  const auto share = std::clamp<std::uint64_t>(orders_.cpu_share, 1, 1000);
  const auto pause =
      took * static_cast<std::int64_t>(1000 - share) / static_cast<std::int64_t>(share);
  pass_due_ =
      Clock::now() + std::min(kLongestRest, std::max<nanoseconds>(engine_->next_due(), pause));
}

}  // namespace vitrine::fvm
