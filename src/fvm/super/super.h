// The Super FVM: an FVM whose guests are FVMs. It reads their memory and nobody else's.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "fvm/messages.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

/// What the supervisor says of an FVM; its memory comes beside it as a descriptor.
struct ExaminePacket {
  PacketType type = PacketType::examine;
  std::uint32_t zero = 0;
  std::uint64_t serial = 0;
  std::uint64_t text_start = 0, text_size = 0;  ///< its engine's text, in its address space
  std::uint64_t text_offset = 0;                ///< and in the program file it was measured by
};
struct ForgetPacket {
  PacketType type = PacketType::forget;
  std::uint32_t zero = 0;
  std::uint64_t serial = 0;
};
/// What the Super FVM says. cause 0: only that it lives.
struct SuperPacket {
  PacketType type = PacketType::super;
  std::uint32_t cause = 0;  ///< Cause::altered, Cause::silent
  std::uint64_t serial = 0;
  std::uint64_t rounds = 0;  ///< examinations of all, so far
};

/// Examines FVMs round by round: the engine's text must be, byte for byte, that of the program
/// as it was measured; the pulse must be there and move.
class SuperExaminer {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kPulseLate{500};

  /// @param program  the bytes of the measured program.
  explicit SuperExaminer(Bytes program) : program_(program) {}

  void add(const ExaminePacket& packet, FileDescriptor memory, Time now);
  void forget(std::uint64_t serial);

  struct Verdict {
    std::uint64_t serial;
    Cause cause;
  };
  /// Looks at each once. What is told is told once.
  [[nodiscard]] std::vector<Verdict> round(Time now);

 private:
  struct Examined {
    ExaminePacket what;
    FileDescriptor memory;
    std::uint64_t counter = 0;
    Time moved{};
    bool told = false;
  };
  [[nodiscard]] bool text_intact(const Examined& fvm);
  [[nodiscard]] bool pulse_intact(Examined& fvm, Time now);

  Bytes program_;
  std::vector<Examined> fvms_;
  std::vector<std::byte> buffer_;
};

/// The main. Descriptors: 3 the socket to the supervisor, 4 the measured program.
int run_super();

}  // namespace vitrine::fvm
