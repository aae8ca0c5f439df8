// AssignedMachine: the one guest of an FVM, as far as an FVM sees it: RAM and nothing else.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fvm/control_page.h"
#include "machine/machine.h"
#include "memory/passing_memory.h"

namespace vitrine::fvm {

/// A file that holds guest RAM.
struct RamFile {
  enum class Kind : std::uint8_t {
    shared = 0,   ///< the RAM itself: mapped
    process = 1,  ///< another process's memory (/proc/PID/mem): read at its addresses
    bar = 2,      ///< a PCI BAR that shows it: mapped; its file cannot say what was ever touched
  } kind = Kind::shared;
  FileDescriptor file;
};

/// Calls `tick` at each read and window, so that whoever waits on the engine knows that it
/// moves. Windows are cut short at 256 KiB for the same reason.
class TickingMemory final : public PassingMemory {
 public:
  TickingMemory(std::unique_ptr<PhysicalMemory> inner, std::function<void()> tick)
      : PassingMemory(std::move(inner)), tick_(std::move(tick)) {}

  [[nodiscard]] Result<void> read(Gpa from, MutableBytes into) const override;
  std::size_t read_batch(std::span<BatchRead> batch) const override;
  [[nodiscard]] Bytes window(Gpa from, std::uint64_t size) const noexcept override;
  [[nodiscard]] std::optional<GpaRange> next_populated(Gpa from) const override;

 private:
  std::function<void()> tick_;
};

class AssignedMachine final : public Machine {
 public:
  /// @returns malformed, out_of_bounds  segments that overlap or leave their files
  /// @returns denied, io  a file cannot be mapped
  [[nodiscard]] static Result<std::unique_ptr<AssignedMachine>> create(
      const std::vector<MapSegment>& segments, std::vector<RamFile> files,
      std::function<void()> tick);

  [[nodiscard]] std::string_view name() const noexcept override { return "guest"; }
  [[nodiscard]] bool live() const noexcept override { return true; }
  [[nodiscard]] const PhysicalMemory& memory() const noexcept override { return *memory_; }
  [[nodiscard]] Outcome<std::vector<x86::Registers>> registers() const override {
    return std::unexpected(Problem(Errc::unsupported, "an FVM sees memory alone"));
  }
  [[nodiscard]] std::vector<std::string> notes() const override { return {}; }
  [[nodiscard]] std::vector<std::string> warnings() const override { return {}; }
  [[nodiscard]] bool alive() const noexcept override { return true; }

 private:
  explicit AssignedMachine(std::unique_ptr<PhysicalMemory> memory) : memory_(std::move(memory)) {}
  std::unique_ptr<PhysicalMemory> memory_;
};

}  // namespace vitrine::fvm
