// GdbClient: a conversation with a gdbstub.
//
// Threads: one at a time. Every call blocks until the answer or the time is up.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/problem.h"
#include "machine/gdb_packet.h"
#include "machine/gdb_registers.h"

namespace vitrine {

class GdbClient {
 public:
  enum class Point : char { software = '0', hardware = '1', write = '2', read = '3', access = '4' };

  /// Talks over `socket`, which stays the caller's; asks for threads and registers.
  /// @returns protocol, timeout, vanished  it is no gdbstub of an x86-64 QEMU
  [[nodiscard]] static Outcome<std::unique_ptr<GdbClient>> begin(int socket);

  /// One id for each virtual CPU, in their order.
  [[nodiscard]] const std::vector<std::string>& threads() const noexcept { return threads_; }
  [[nodiscard]] const GdbRegisters& layout() const noexcept { return layout_; }

  [[nodiscard]] Outcome<x86::Registers> registers(const std::string& thread);
  /// @returns unsupported  this stub has no such register
  [[nodiscard]] Outcome<void> write_register(const std::string& thread, std::string_view name,
                                             std::uint64_t value);
  /// Virtual memory of that CPU; what was translated from it is translated anew.
  [[nodiscard]] Outcome<void> write_memory(const std::string& thread, Gva at, Bytes bytes);
  [[nodiscard]] Outcome<void> write_physical(Gpa at, Bytes bytes);

  /// @returns unsupported  the stub refused it
  [[nodiscard]] Outcome<void> insert(Point kind, Gva at, std::uint64_t length);
  [[nodiscard]] Outcome<void> remove(Point kind, Gva at, std::uint64_t length);

  /// All CPUs go on. What stops them comes by wait().
  [[nodiscard]] Outcome<void> resume();
  /// One instruction of one CPU, interrupts held off; the others stand.
  [[nodiscard]] Outcome<GdbStop> step(const std::string& thread);
  /// The next stop; nothing if the time is up.
  [[nodiscard]] Outcome<std::optional<GdbStop>> wait(std::chrono::milliseconds time);
  /// Stops a machine that runs.
  [[nodiscard]] Outcome<GdbStop> interrupt();
  /// The same where QEMU will not say that it has stopped.
  [[nodiscard]] Outcome<void> interrupt_silently();
  /// Drops what is under way and makes sure that question and answer belong together again.
  [[nodiscard]] Outcome<void> settle();

 private:
  explicit GdbClient(int socket) : socket_(socket) {}
  Outcome<void> send(std::string_view bytes);
  Outcome<std::optional<std::string>> receive(std::chrono::milliseconds time);
  Outcome<std::string> ask(std::string_view text);
  Outcome<void> want_ok(std::string_view text, const char* what);
  Outcome<void> select(const std::string& thread);
  Outcome<std::string> file(std::string_view name);

  int socket_;
  GdbFrames frames_;
  GdbRegisters layout_;
  std::vector<std::string> threads_;
  std::string selected_;
};

}  // namespace vitrine
