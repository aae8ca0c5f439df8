// ControlServer: the agent's side of the control protocol, in QEMU's process.
//
// One thread of its own; it listens on a socket in a private directory, serves one controller
// and refuses a second with a word. When the controller goes, however it goes, the program goes
// with it and nothing stays instrumented.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "memory/file_descriptor.h"
#include "probe/agent/message.h"
#include "probe/agent/running_program.h"
#include "probe/agent/tcg_engine.h"

namespace vitrine::probe {

class ControlServer final : public HeldHost {
 public:
  explicit ControlServer(TcgEngine& engine) : engine_(engine) {}
  ~ControlServer() override;

  /// Binds DIRECTORY/agent-PID.sock and begins to listen. The directory is made (mode 0700) if
  /// it is not there; one that others may write into is refused.
  [[nodiscard]] Outcome<void> start(const std::string& directory);
  /// Lets the controller go, ends the thread and removes the socket.
  void stop();
  [[nodiscard]] const std::string& path() const { return path_; }

  std::optional<Release> hold(Held& held, std::uint32_t limit_ms,
                              const HeldWriter& write) noexcept override;
  /// Never waits: what the controller does not take at once, the thread of its own tells it.
  bool note(const AgentNote& note) noexcept override;

 private:
  struct Waiting {
    std::uint64_t token = 0;
    bool released = false;
    Release release;
    std::optional<HeldWrite> write;  ///< to be done by the CPU's thread
  };

  std::optional<Release> await_release(Held& held, std::uint32_t limit_ms,
                                       const HeldWriter& write) noexcept;
  void serve();
  bool accept_one();
  void tell_notes();
  void let_go();
  /// False: the controller is to be let go.
  [[nodiscard]] bool receive();
  [[nodiscard]] bool handle(MessageKind kind, Bytes body);
  void load(Bytes body);
  void map(Bytes body);
  void release(Bytes body);
  void ram(Bytes body);
  void aim(Bytes body);
  void write(Bytes body);
  enum class Patience : std::uint8_t { some, none };
  /// @returns false  nobody is there, or it does not read: then, but without patience and with
  ///                 nothing sent so far, it is cut off
  bool send(MessageKind kind, Bytes body, int descriptor = -1,
            Patience patience = Patience::some) noexcept;
  void refuse(std::string_view why) { (void)send(MessageKind::refused, bytes_of(why)); }

  TcgEngine& engine_;
  std::string path_;
  FileDescriptor listener_, client_, wake_;
  pid_t controller_ = 0;  ///< who client_ is
  std::vector<std::byte> input_;
  std::thread thread_;
  std::atomic<bool> ending_{false};

  std::mutex send_mutex_;  ///< the controller's socket is written by virtual CPUs too
  std::mutex notes_mutex_;
  std::vector<std::vector<std::byte>> notes_;  ///< to be sent by the thread of its own

  std::mutex hold_mutex_;
  std::condition_variable released_;
  std::vector<Waiting> waiting_;  ///< by virtual CPU
  bool connected_ = false;
  bool changing_ = false;  ///< programs change: nobody is waited for
  std::uint64_t generation_ = 0, previous_generation_ = 0,
                loads_ = 0;  ///< of the running program, and of the one before

  Outcome<void> change(std::unique_ptr<RunningProgram> next);
};

}  // namespace vitrine::probe
