#include "fvm/super/super.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <thread>

#include "fvm/packet.h"
#include "fvm/sandbox/seccomp.h"
#include "fvm/sensor/pulse.h"

namespace vitrine::fvm {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kRound{20};
constexpr int kShareOfTime = 10;  ///< it takes at most this part of a core: 1 / 10

/// More heartbeats between two looks than there can have been.
constexpr std::uint64_t kMostBeats = 1000;

std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

void SuperExaminer::add(const ExaminePacket& packet, FileDescriptor memory, Time now) {
  if (packet.text_offset > program_.size() ||
      program_.size() - packet.text_offset < packet.text_size)
    return;
  fvms_.push_back({packet, std::move(memory), 0, now});
}

void SuperExaminer::forget(std::uint64_t serial) {
  std::erase_if(fvms_, [&](const Examined& fvm) { return fvm.what.serial == serial; });
}

bool SuperExaminer::text_intact(const Examined& fvm) {
  constexpr std::size_t kPiece = 256 * 1024;
  buffer_.resize(kPiece);
  const auto measured = program_.subspan(fvm.what.text_offset, fvm.what.text_size);
  for (std::size_t done = 0; done < measured.size();) {
    const auto size = std::min(kPiece, measured.size() - done);
    const auto got = ::pread(fvm.memory.get(), buffer_.data(), size,
                             static_cast<off_t>(fvm.what.text_start + done));
    if (got <= 0) return true;  // it is gone: others tell that
    if (std::memcmp(buffer_.data(), measured.data() + done, static_cast<std::size_t>(got)) != 0)
      return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

bool SuperExaminer::pulse_intact(Examined& fvm, Time now) {
  std::array<std::byte, sizeof(Pulse)> bytes;
  const auto got =
      ::pread(fvm.memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(kPulseAddress));
  if (got != static_cast<ssize_t>(bytes.size()))
    return now - fvm.moved <= kPulseLate;  // not there yet, or gone
  if (*load<std::uint64_t>(bytes, 0) != kPulseMagic) return false;
  const auto counter = *load<std::uint64_t>(bytes, offsetof(Pulse, counter));
  if (counter < fvm.counter || counter - fvm.counter > kMostBeats) return false;
  if (counter != fvm.counter) {
    fvm.counter = counter;
    fvm.moved = now;
  }
  return true;
}

std::vector<SuperExaminer::Verdict> SuperExaminer::round(Time now) {
  std::vector<Verdict> verdicts;
  for (auto& fvm : fvms_) {
    if (fvm.told) continue;
    if (!pulse_intact(fvm, now) || !text_intact(fvm))
      verdicts.push_back({fvm.what.serial, Cause::altered});
    else if (now - fvm.moved > kPulseLate)
      verdicts.push_back({fvm.what.serial, Cause::silent});
    else
      continue;
    fvm.told = true;
  }
  return verdicts;
}

int run_super() {
  constexpr int kSupervisor = 3, kProgram = 4;
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  struct stat status{};
  if (::fstat(kProgram, &status) != 0) return 1;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* program = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, kProgram, 0);
  if (program == MAP_FAILED) return 1;
  ::close(kProgram);
  if (!restrict_files({}) || !lock_down(sensor_rules())) {
    fmt::print(stderr, "vitrine-fvm: the Super FVM cannot be locked down\n");
    return 1;
  }
  SuperExaminer examiner(Bytes(static_cast<const std::byte*>(program), size));
  std::uint64_t rounds = 0;
  while (true) {
    while (true) {
      auto packet = receive_packet(kSupervisor, sizeof(ExaminePacket));
      if (!packet) return 0;
      if (!*packet) break;
      if (const auto examine = packet_as<ExaminePacket>((*packet)->bytes);
          examine && (*packet)->descriptors.size() == 1) {
        examiner.add(*examine, std::move((*packet)->descriptors[0]),
                     std::chrono::steady_clock::now());
      } else if (const auto forget = packet_as<ForgetPacket>((*packet)->bytes)) {
        examiner.forget(forget->serial);
      }
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto cpu_before = cpu_time();
    const auto verdicts = examiner.round(begin);
    ++rounds;
    const auto send = [&](const SuperPacket& told) {
      (void)!::write(kSupervisor, &told, sizeof told);
    };
    for (const auto& verdict : verdicts)
      send({.cause = static_cast<std::uint32_t>(verdict.cause),
            .serial = verdict.serial,
            .rounds = rounds});
    if (verdicts.empty()) send({.rounds = rounds});
    const auto took = cpu_time() - cpu_before;
    std::this_thread::sleep_for(std::max<std::chrono::nanoseconds>(kRound, took * kShareOfTime));
  }
}

}  // namespace vitrine::fvm
