// TranslatingCpu: the mode of the virtual CPU whose code is being translated.
//
// QEMU keeps translations for different modes apart (privilege, width, and whether SMAP holds are
// all part of what a translation is found by), so what the CPU says while it translates a block is
// true whenever that block runs. Source: QEMU target/i386/cpu.h, HF_*_MASK and
// x86_get_tb_cpu_state().
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "probe/agent/plugin_abi.h"

namespace vitrine::probe {

/// The code segment of a 32-bit program. Source: Linux, __USER32_CS in
/// arch/x86/include/asm/segment.h.
inline constexpr std::uint64_t kNarrowCode = 0x23;

struct CodeMode {
  bool narrow = false;    ///< 32-bit code of a program
  bool kept_out = false;  ///< the kernel's, and an access to a program's page would fault (SMAP)
};

class TranslatingCpu {
 public:
  explicit TranslatingCpu(const PluginApi& api) : api_(api) {}
  TranslatingCpu(const TranslatingCpu&) = delete;
  TranslatingCpu& operator=(const TranslatingCpu&) = delete;
  ~TranslatingCpu();

  /// In QEMU's call for a block that is translated, on any virtual CPU's thread. Nothing if this
  /// QEMU does not tell registers there. Cost: three calls of QEMU.
  [[nodiscard]] std::optional<CodeMode> mode() noexcept;

 private:
  enum Which : std::uint8_t { cs, flags, cr4, count_ };
  [[nodiscard]] std::optional<std::uint64_t> ask(Which which) noexcept;

  const PluginApi& api_;
  std::mutex mutex_;
  std::array<PluginRegister*, count_> handles_{};
  GlibBytes* bytes_ = nullptr;
};

}  // namespace vitrine::probe
