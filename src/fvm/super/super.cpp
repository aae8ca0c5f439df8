#include "fvm/super/super.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "fvm/log_line.h"
#include "fvm/packet.h"
#include "fvm/sandbox/seccomp.h"
#include "fvm/sensor/pulse.h"
#include "fvm/sensor/sensor_main.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kRound{20};
constexpr milliseconds kSayAlive{100};
constexpr int kShareOfTime = 10;  ///< it takes at most this part of a core: 1 / 10

/// More heartbeats between two looks than there can have been, beside one a millisecond: whoever
/// looks may have been kept from it.
constexpr std::uint64_t kMostBeats = 1000;

std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

void SuperExaminer::add(const ExaminePacket& packet, std::vector<FileDescriptor> files, Time now) {
  const milliseconds age(std::min<std::uint64_t>(packet.age_ms, 1ULL << 40));
  Examined fvm{.what = packet, .looked = now - age, .moved = now, .stepped = now};
  if (packet.isolation == Isolation::process && (files.size() == 1 || files.size() == 3)) {
    if (packet.text_offset > program_.size() ||
        program_.size() - packet.text_offset < packet.text_size)
      return;
    fvm.text = {packet.text_start, packet.text_offset,
                program_.subspan(packet.text_offset, packet.text_size), device_, inode_};
    fvm.process.memory = std::move(files[0]);
    if (files.size() == 3) {
      fvm.process.maps = std::move(files[1]);
      fvm.process.pagemap = std::move(files[2]);
    }
  } else if (packet.isolation == Isolation::microvm && files.size() == 2) {
    struct stat status{};
    if (::fstat(files[1].get(), &status) != 0 || status.st_size <= 0) return;
    const auto size = static_cast<std::size_t>(status.st_size);
    void* program = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, files[1].get(), 0);
    if (program == MAP_FAILED) return;
    fvm.program = std::shared_ptr<const void>(
        program, [size](const void* bytes) { ::munmap(const_cast<void*>(bytes), size); });
    auto examiner = MicrovmExaminer::create(std::move(files[0]), packet.ram_size,
                                            Bytes(static_cast<const std::byte*>(program), size),
                                            pack_, alive_, now);
    if (!examiner) {
      log_line("vitrine-fvm",
               fmt::format("a microVM cannot be examined: {}", describe(examiner.error())));
      return;
    }
    fvm.microvm = std::move(*examiner);
  } else {
    return;
  }
  fvms_.push_back(std::move(fvm));
}

void SuperExaminer::forget(std::uint64_t serial) {
  std::erase_if(fvms_, [&](const Examined& fvm) { return fvm.what.serial == serial; });
}

bool SuperExaminer::follow(Examined& fvm, Bytes pulse, Time now) {
  if (load<std::uint64_t>(pulse, 0) != kPulseMagic) return false;
  const auto counter = *load<std::uint64_t>(pulse, offsetof(Pulse, counter));
  const auto since = std::chrono::duration_cast<milliseconds>(now - fvm.looked).count();
  const auto most = kMostBeats + static_cast<std::uint64_t>(std::max<std::int64_t>(since, 0));
  if (counter < fvm.counter || counter - fvm.counter > most) return false;
  fvm.looked = now;
  // Whoever has a guest is watched by its guard, who alone knows whether it was he who did not
  // listen; one that waits only looks at its control page.
  const auto progress = *load<std::uint64_t>(pulse, offsetof(Pulse, progress));
  const auto phase = *load<std::uint8_t>(pulse, offsetof(Pulse, phase));
  const bool has_guest = phase != static_cast<std::uint8_t>(Phase::standby);
  if (counter != fvm.counter || has_guest) fvm.moved = now;
  fvm.counter = counter;
  if (progress != fvm.progress || counter == 0 || has_guest) fvm.stepped = now;
  fvm.progress = progress;
  return true;
}

std::optional<SuperExaminer::Verdict> SuperExaminer::look(Examined& fvm, bool text, Time now) {
  const auto verdict = [&](Cause cause, std::string why = {}) {
    return Verdict{fvm.what.serial, cause, std::move(why)};
  };
  if (fvm.microvm != nullptr) {
    const auto state = fvm.microvm->look(now);
    rare_work_ += fvm.microvm->rare_work();
    if (state == MicrovmExaminer::State::altered)
      return verdict(Cause::altered, fvm.microvm->why());
    if (state == MicrovmExaminer::State::unknown) {
      fvm.moved = fvm.stepped = now;
      return std::nullopt;
    }
    if (!follow(fvm, fvm.microvm->pulse(), now))
      return verdict(Cause::altered, "its pulse is not its own");
  } else {
    std::array<std::byte, sizeof(Pulse)> pulse;
    const auto got = ::pread(fvm.process.memory.get(), pulse.data(), pulse.size(),
                             static_cast<off_t>(kPulseAddress));
    // Not there yet, or gone: others tell of its end.
    if (got == static_cast<ssize_t>(pulse.size()) && !follow(fvm, pulse, now))
      return verdict(Cause::altered, "its pulse is not its own");
    if (text) {
      fvm.text_due = now + kTextEvery;
      const auto state = look_at_text(fvm.process, fvm.text, buffer_);
      if (state == TextState::changed)
        return verdict(Cause::altered, "its text is not what was measured");
      if (state == TextState::foreign)
        return verdict(Cause::altered, "it can execute what is not its program");
    }
  }
  if (now - fvm.moved > kPulseLate) return verdict(Cause::silent);
  if (now - fvm.stepped > kPulseLate) return verdict(Cause::stuck);
  return std::nullopt;
}

std::vector<SuperExaminer::Verdict> SuperExaminer::round(Time now) {
  std::vector<Verdict> verdicts;
  rare_work_ = {};
  // Few texts a round, so that every pulse is looked at often, however many there are.
  std::size_t texts = 0;
  const auto count = fvms_.size(), first = count == 0 ? 0 : turn_ % count;
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = (first + i) % count;
    auto& fvm = fvms_[at];
    if (fvm.told) continue;
    const bool text = texts < kTextsARound && fvm.microvm == nullptr && now >= fvm.text_due;
    if (text) {
      ++texts;
      turn_ = at + 1;
    }
    if (auto verdict = look(fvm, text, now)) {
      fvm.told = true;
      verdicts.push_back(std::move(*verdict));
    }
  }
  return verdicts;
}

int run_super() {
  constexpr int kSupervisor = 3, kProgram = 4, kPack = 5;
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  struct stat status{};
  if (::fstat(kProgram, &status) != 0) return 1;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* program = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, kProgram, 0);
  if (program == MAP_FAILED) return 1;
  ::close(kProgram);
  auto pack = read_pack(kPack);
  ::close(kPack);
  if (!restrict_files({}) || !lock_down(sensor_rules())) {
    log_line("vitrine-fvm", "the Super FVM cannot be locked down");
    return 1;
  }
  std::uint64_t rounds = 0;
  const auto send = [](const SuperPacket& told) {
    (void)!::write(kSupervisor, &told, sizeof told);
  };
  auto told_at = std::chrono::steady_clock::now();
  SuperExaminer examiner(Bytes(static_cast<const std::byte*>(program), size), status.st_dev,
                         status.st_ino, pack ? std::move(*pack) : symptom::Pack(), [&] {
                           const auto now = std::chrono::steady_clock::now();
                           if (now - told_at < kSayAlive) return;
                           told_at = now;
                           send({.rounds = rounds});
                         });
  while (true) {
    while (true) {
      auto packet = receive_packet(kSupervisor, sizeof(ExaminePacket));
      if (!packet) return 0;
      if (!*packet) break;
      if (const auto examine = packet_as<ExaminePacket>((*packet)->bytes); examine) {
        examiner.add(*examine, std::move((*packet)->descriptors), std::chrono::steady_clock::now());
      } else if (const auto forget = packet_as<ForgetPacket>((*packet)->bytes)) {
        examiner.forget(forget->serial);
      }
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto cpu_before = cpu_time();
    const auto verdicts = examiner.round(begin);
    ++rounds;
    for (const auto& verdict : verdicts) {
      if (!verdict.why.empty())
        log_line("vitrine-fvm", fmt::format("Super FVM: FVM {}: {}", verdict.serial, verdict.why));
      send({.cause = static_cast<std::uint32_t>(verdict.cause),
            .serial = verdict.serial,
            .rounds = rounds});
    }
    if (verdicts.empty()) send({.rounds = rounds});
    told_at = begin;
    // Rare work has its own rate.
    const auto took = cpu_time() - cpu_before - examiner.rare_work();
    std::this_thread::sleep_for(std::max<std::chrono::nanoseconds>(kRound, took * kShareOfTime));
  }
}

}  // namespace vitrine::fvm
