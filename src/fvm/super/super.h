// The Super FVM: an FVM whose guests are FVMs. It reads their memory and nobody else's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "fvm/messages.h"
#include "fvm/super/microvm_examiner.h"
#include "fvm/super/process_text.h"
#include "memory/file_descriptor.h"

namespace vitrine::fvm {

/// What the supervisor says of an FVM. Descriptors beside it: of a process its mem, maps and
/// pagemap; of a microVM its RAM, and its init as it was measured.
struct ExaminePacket {
  PacketType type = PacketType::examine;
  Isolation isolation = Isolation::process;
  std::uint64_t serial = 0;
  std::uint64_t text_start = 0, text_size = 0;  ///< its engine's text, in its address space
  std::uint64_t text_offset = 0;                ///< and in the program file it was measured by
  std::uint64_t ram_size = 0;                   ///< of a microVM
  std::uint64_t age_ms = 0;  ///< since it was started: its pulse counts from then
};
struct ForgetPacket {
  PacketType type = PacketType::forget;
  std::uint32_t zero = 0;
  std::uint64_t serial = 0;
};
/// What the Super FVM says. cause 0: only that it lives.
struct SuperPacket {
  PacketType type = PacketType::super;
  std::uint32_t cause = 0;  ///< Cause::altered, Cause::silent, Cause::stuck
  std::uint64_t serial = 0;
  std::uint64_t rounds = 0;  ///< examinations of all, so far
};

/// Examines FVMs round by round: the engine's text must be, byte for byte, that of the program
/// as it was measured; the pulse must be there and move; one that waits must step. What else is
/// asked of a microVM: microvm_examiner.h.
class SuperExaminer {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// Guards notice silence in a tenth of that; this is for those that wait for a guest.
  static constexpr std::chrono::milliseconds kPulseLate{2000};

  /// Texts of processes that are looked at in one round; each at every second round at most.
  static constexpr std::size_t kTextsARound = 4;
  static constexpr std::chrono::milliseconds kTextEvery{40};

  /// @param program  the bytes of the measured program, and the file that holds them
  /// @param pack     whose rules about kernels are asked of microVMs
  /// @param alive    called often while long work is done
  SuperExaminer(Bytes program, dev_t device, ino_t inode, symptom::Pack pack,
                std::function<void()> alive)
      : program_(program),
        device_(device),
        inode_(inode),
        pack_(std::move(pack)),
        alive_(std::move(alive)) {}

  /// @param files  as beside the packet; of a process its mem alone will do
  void add(const ExaminePacket& packet, std::vector<FileDescriptor> files, Time now);
  void forget(std::uint64_t serial);

  struct Verdict {
    std::uint64_t serial;
    Cause cause;
    std::string why;  ///< in words, where there are any
  };
  /// Looks at each once. What is told is told once.
  [[nodiscard]] std::vector<Verdict> round(Time now);
  /// CPU time of the last round's rare work.
  [[nodiscard]] std::chrono::nanoseconds rare_work() const noexcept { return rare_work_; }

 private:
  struct Examined {
    ExaminePacket what;
    ProcessFiles process;
    TextPlace text;
    Time text_due{};
    std::shared_ptr<const void> program;       // mapped; of a microVM
    std::unique_ptr<MicrovmExaminer> microvm;  // which looks into it
    std::uint64_t counter = 0, progress = 0;
    Time looked{};  // at its pulse, last; at first: when it was started
    Time moved{}, stepped{};
    bool told = false;
  };
  /// Whether it is a pulse, of somebody who goes on from where he was.
  [[nodiscard]] static bool follow(Examined& fvm, Bytes pulse, Time now);
  /// @param text  its text, too
  [[nodiscard]] std::optional<Verdict> look(Examined& fvm, bool text, Time now);

  Bytes program_;
  dev_t device_;
  ino_t inode_;
  symptom::Pack pack_;
  std::function<void()> alive_;
  std::chrono::nanoseconds rare_work_{};
  std::vector<Examined> fvms_;
  std::size_t turn_ = 0;  ///< whose text is looked at next
  std::vector<std::byte> buffer_;
};

/// The main. Descriptors: 3 the socket to the supervisor, 4 the measured program, 5 the pack.
int run_super();

}  // namespace vitrine::fvm
