// The QEMU plugin interface as our agent uses it: declarations of our own, found at run time.
//
// No Debian package has QEMU's header, and the interface grows: 3 with QEMU 9.1, 4 with 9.2 and
// 10.0, 5 with 10.1, and on. So nothing is linked: every function is looked up by name in the
// QEMU that loaded us, what is missing is named in a refusal, and what differs between versions
// (the result of reading a register) is not relied upon.
// Source: QEMU docs/devel/tcg-plugins.rst and plugins/api.c, 9.1 to 10.2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/problem.h"

namespace vitrine::probe {

inline constexpr int kLeastPluginApi = 3;  ///< QEMU 9.1: registers can be read

// Handed to qemu_plugin_install(); the layout is the same in all versions that we serve.
struct PluginInfo {
  const char* target_name;  ///< "x86_64"
  struct {
    int min, cur;
  } version;
  bool system_emulation;
  struct {
    int smp_vcpus, max_vcpus;
  } system;
};

// GLib's arrays, of which only the public head is looked at.
struct GlibBytes {
  std::uint8_t* data;
  unsigned len;
};
struct GlibArray {
  char* data;
  unsigned len;
};

struct PluginRegister;     ///< a handle
struct PluginBlock;        ///< a block being translated
struct PluginInstruction;  ///< one of its instructions
struct PluginScoreboard;   ///< an array with an entry for each virtual CPU

struct PluginCounter {
  PluginScoreboard* board;
  std::size_t offset;
};

/// How a 1..16-byte value travels in qemu_plugin_mem_get_value().
struct PluginMemoryValue {
  int type;  ///< log2 of the bytes
  union {
    std::uint64_t low;
    std::uint64_t both[2];
  };
};

using PluginId = std::uint64_t;
enum class CallbackRegisters : int { none, read, write };
enum class MemoryAccess : int { read = 1, write = 2, both = 3 };
enum class InlineOp : int { add, store };

// Newer versions append a pointer to registrations and callbacks of whole CPUs: a callee that
// does not know the last argument never looks at it, so ours take and give none.
using SimpleCallback = void (*)(PluginId);
using VcpuCallback = void (*)(PluginId, unsigned vcpu);
using BlockCallback = void (*)(PluginId, PluginBlock*);
using InstructionCallback = void (*)(unsigned vcpu, void* data);
using MemoryCallback = void (*)(unsigned vcpu, std::uint32_t info, std::uint64_t address,
                                void* data);
using ExitCallback = void (*)(PluginId, void* data);

/// work to run on a virtual CPU's own thread, between two blocks
using CpuWork = void (*)(void* cpu, void* data);

struct PluginApi {
  int version = 0;  ///< of the interface, as QEMU says it

  // The plugin interface.
  void (*reset)(PluginId, SimpleCallback) = nullptr;
  void (*on_vcpu_init)(PluginId, VcpuCallback, void*) = nullptr;
  void (*on_vcpu_idle)(PluginId, VcpuCallback, void*) = nullptr;
  void (*on_vcpu_resume)(PluginId, VcpuCallback, void*) = nullptr;
  void (*on_block)(PluginId, BlockCallback, void*) = nullptr;
  void (*on_exit)(PluginId, ExitCallback, void*) = nullptr;
  void (*on_flush)(PluginId, SimpleCallback) = nullptr;  ///< may be null
  void (*on_execute)(PluginInstruction*, InstructionCallback, CallbackRegisters, void*) = nullptr;
  void (*on_memory)(PluginInstruction*, MemoryCallback, CallbackRegisters, MemoryAccess,
                    void*) = nullptr;
  void (*inline_execute)(PluginInstruction*, InlineOp, PluginCounter, std::uint64_t) = nullptr;
  std::size_t (*block_size)(const PluginBlock*) = nullptr;
  std::uint64_t (*block_address)(const PluginBlock*) = nullptr;
  PluginInstruction* (*block_instruction)(const PluginBlock*, std::size_t) = nullptr;
  std::size_t (*instruction_bytes)(const PluginInstruction*, void*, std::size_t) = nullptr;
  std::uint64_t (*instruction_address)(const PluginInstruction*) = nullptr;
  unsigned (*memory_size_shift)(std::uint32_t) = nullptr;
  bool (*memory_is_store)(std::uint32_t) = nullptr;
  int (*vcpu_count)() = nullptr;
  GlibArray* (*registers)() = nullptr;
  int (*read_register)(PluginRegister*, GlibBytes*) = nullptr;
  PluginScoreboard* (*new_scoreboard)(std::size_t) = nullptr;
  void (*free_scoreboard)(PluginScoreboard*) = nullptr;
  void* (*scoreboard_entry)(PluginScoreboard*, unsigned vcpu) = nullptr;

  // Of the interface, but not in all versions: may be null.
  PluginMemoryValue (*memory_value)(std::uint32_t) = nullptr;             ///< from 4
  bool (*read_memory)(std::uint64_t, GlibBytes*, std::size_t) = nullptr;  ///< from 4
  bool (*write_memory)(std::uint64_t, GlibBytes*) = nullptr;              ///< from 5
  int (*write_register)(PluginRegister*, GlibBytes*) = nullptr;           ///< from 5
  void* (*physical)(std::uint32_t, std::uint64_t) = nullptr;
  std::uint64_t (*physical_address)(const void*) = nullptr;

  // GLib, which QEMU itself is made with.
  GlibBytes* (*bytes_new)() = nullptr;
  GlibBytes* (*bytes_resize)(GlibBytes*, unsigned) = nullptr;
  void (*array_free)(GlibArray*, int) = nullptr;
  std::uint8_t* (*bytes_free)(GlibBytes*, int) = nullptr;

  // QEMU's own functions, which it happens to export when it is built with modules (as Debian
  // builds it). Each is used only where it is there, for what the interface cannot do; the
  // interface's own way stands beside it.
  void* (*cpu)(int index) = nullptr;                             ///< qemu_get_cpu
  void (*run_on_cpu)(void* cpu, CpuWork, void* data) = nullptr;  ///< async_run_on_cpu
  void (*run_alone)(void* cpu, CpuWork, void* data) = nullptr;   ///< async_safe_run_on_cpu
  int (*debug_memory)(void* cpu, std::uint64_t, void*, std::size_t,
                      bool write) = nullptr;                   ///< cpu_memory_rw_debug
  void (*on_machine_reset)(void (*)(void*), void*) = nullptr;  ///< qemu_register_reset
};

/// Finds everything in the running process.
/// @returns unsupported  this QEMU cannot serve an agent; the message says what it lacks
[[nodiscard]] Outcome<PluginApi> find_plugin_api(const PluginInfo& info);

/// The same with a lookup of one's own, for tests.
[[nodiscard]] Outcome<PluginApi> find_plugin_api(const PluginInfo& info,
                                                 void* (*look_up)(const char* name));

}  // namespace vitrine::probe
