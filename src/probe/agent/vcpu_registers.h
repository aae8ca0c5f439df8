// VcpuRegisters: the registers of one virtual CPU, read on its own thread.
//
// Two ways. The plugin interface's own: a call into QEMU for each register, tens of
// nanoseconds, and no table registers. The faster one: where QEMU exports qemu_get_cpu(), the
// place at which it keeps the registers is looked for in that CPU's own memory, by values that
// the interface told (sixteen general registers in a row, then the segments, tables and control
// registers); it is taken only if all of that agrees, and is compared with the interface's
// answers for a while before it is believed. See docs/adr for why.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "probe/agent/plugin_abi.h"
#include "x86/registers.h"

namespace vitrine::probe {

/// QEMU's gdb names of what we read, by the catalogue's names where they are the same.
enum class Reg : std::uint8_t {
  rax,
  rbx,
  rcx,
  rdx,
  rsi,
  rdi,
  rbp,
  rsp,
  r8,
  r9,
  r10,
  r11,
  r12,
  r13,
  r14,
  r15,
  rip,
  rflags,
  cs,
  ss,
  ds,
  es,
  fs,
  gs,
  fs_base,
  gs_base,
  kernel_gs_base,
  cr0,
  cr2,
  cr3,
  cr4,
  cr8,
  efer,
  count_,
};
inline constexpr std::size_t kRegCount = static_cast<std::size_t>(Reg::count_);

/// Where QEMU keeps a CPU's registers, in bytes from its CPU object. 0: not known.
struct RegisterPlaces {
  std::uint32_t general = 0;   ///< sixteen, in the order of instructions, then rip and rflags
  std::uint32_t segments = 0;  ///< es cs ss ds fs gs ldt tr gdt idt, 24 bytes each
  std::uint32_t control = 0;   ///< cr0 cr1 cr2 cr3 cr4
  std::uint32_t efer = 0;
  bool operator==(const RegisterPlaces&) const = default;
};

class VcpuRegisters {
 public:
  VcpuRegisters(const PluginApi& api, unsigned vcpu);
  VcpuRegisters(const VcpuRegisters&) = delete;
  VcpuRegisters& operator=(const VcpuRegisters&) = delete;
  ~VcpuRegisters();

  /// On the CPU's thread, in a callback that may read registers: finds handles and, the first
  /// times, the faster way. Cost: nothing once it is settled.
  void settle() {
    if (!settled_) [[unlikely]]
      settle_now();
  }

  /// Another CPU has the number from now on.
  void begin_anew();

  /// As of now, on the CPU's thread.
  [[nodiscard]] std::optional<std::uint64_t> get(Reg reg) noexcept;
  /// A general register by its number in instructions.
  [[nodiscard]] std::uint64_t general(unsigned encoding) noexcept;
  /// Nothing where only the plugin interface is at hand.
  [[nodiscard]] std::optional<x86::Segment> segment(
      unsigned index) noexcept;  ///< es cs ss ds fs gs ldt tr
  [[nodiscard]] std::optional<x86::DescriptorTable> table(bool interrupts) noexcept;
  /// All of it; what cannot be had is 0.
  [[nodiscard]] x86::Registers all() noexcept;
  /// @returns false  this QEMU gives no way, or not for this register
  [[nodiscard]] bool write(Reg reg, std::uint64_t value) noexcept;

  [[nodiscard]] const RegisterPlaces& places() const { return places_; }
  [[nodiscard]] bool fast() const { return base_ != nullptr; }

 private:
  const PluginApi& api_;
  unsigned vcpu_;
  std::array<PluginRegister*, kRegCount> handles_{};
  GlibBytes* bytes_ = nullptr;
  std::byte* object_ = nullptr;      ///< QEMU's CPU object, if it is exported
  const std::byte* base_ = nullptr;  ///< object_, once the places are believed
  RegisterPlaces places_;
  unsigned checks_left_ = 0;  ///< comparisons still to be made
  static constexpr unsigned kTries = 64;
  unsigned tries_left_ = kTries;
  bool handles_found_ = false;
  bool settled_ = false;

  void settle_now();
  void find_handles();
  void find_places();
  void check_places();
  [[nodiscard]] std::optional<std::uint64_t> ask(Reg reg) noexcept;
  template <class T>
  [[nodiscard]] T at(std::size_t offset) const noexcept;
};

/// QEMU's handles of the registers of these names, each into the same place of `handles`; null
/// where it has none. On a virtual CPU's thread.
void find_register_handles(const PluginApi& api, std::span<const std::string_view> names,
                           std::span<PluginRegister*> handles);
/// By the interface. `bytes`: room for the answer.
[[nodiscard]] std::optional<std::uint64_t> read_register(const PluginApi& api,
                                                         PluginRegister* handle,
                                                         GlibBytes* bytes) noexcept;

/// The places in `object`, a copy of the first bytes of a CPU object, by what the interface told
/// of the same moment. Nothing if they are not found, or found twice.
[[nodiscard]] std::optional<RegisterPlaces> find_register_places(
    std::span<const std::byte> object,
    const std::array<std::optional<std::uint64_t>, kRegCount>& told);

}  // namespace vitrine::probe
