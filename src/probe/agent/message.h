// The control protocol between the host and an agent: length-prefixed messages on a unix socket.
//
// A frame is 12 bytes (magic, version, kind, length of the body) and a body. The agent speaks
// to one controller at a time and believes nothing of it; the host believes nothing of the
// agent, which lives in the process that runs a hostile guest. Descriptors (the rings' memory)
// travel beside the message that names them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/problem.h"
#include "memory/file_descriptor.h"
#include "probe/agent/plan.h"
#include "probe/map_store.h"
#include "x86/registers.h"

namespace vitrine::probe {

inline constexpr std::uint16_t kAgentProtocol = 4;
inline constexpr std::uint32_t kFrameMagic = 0x414d5456;  // "VTMA"
inline constexpr std::size_t kFrameHead = 12;
inline constexpr std::size_t kMaxBody = 64U << 20;
inline constexpr std::uint32_t kMaxVcpus = 4096;

enum class MessageKind : std::uint16_t {
  // from the host
  load = 1,  ///< AgentPlan
  unload,    ///< empty
  map,       ///< MapRequest
  release,   ///< Release: a held virtual CPU goes on
  losses,    ///< empty
  write,     ///< HeldWrite: a held virtual CPU writes memory
  ram,       ///< AgentRam list: memory was plugged or unplugged; of the running program
  aim,       ///< AgentAim list: probes of the running program are elsewhere from now on
  // from the agent
  welcome = 64,  ///< Welcome
  refused,       ///< text: why the last message, or this controller, is refused
  loaded,        ///< Loaded; the rings' memory comes along
  unloaded,      ///< empty
  map_reply,     ///< MapReply
  held,          ///< Held
  losses_reply,  ///< AgentLosses
  note,          ///< AgentNote
  ram_known,     ///< empty
  wrote,         ///< empty: the HeldWrite was done
  aimed,         ///< empty: it takes effect before any CPU that is held executes a next block
};

struct Message {
  MessageKind kind{};
  std::vector<std::byte> body;
};

struct FrameHead {
  MessageKind kind{};
  std::uint32_t length = 0;
};
[[nodiscard]] std::vector<std::byte> encode_frame(MessageKind kind, Bytes body);
/// @returns malformed  no frame of ours, or a body of more than kMaxBody
/// @returns unsupported  of another version
[[nodiscard]] Result<FrameHead> decode_frame_head(Bytes bytes);

struct Welcome {
  std::uint32_t pid = 0;
  std::uint32_t vcpus = 0;
  std::uint32_t plugin_api = 0;
  /// What this QEMU can do beyond the plain interface.
  enum Can : std::uint32_t {
    memory_values = 1,
    run_on_cpu = 2,
    write_code = 4,
    write_registers = 8,
    physical = 16,
    run_alone = 32,  ///< work while all other virtual CPUs stand, and QEMU's main loop does not
  };
  std::uint32_t can = 0;
  bool operator==(const Welcome&) const = default;
};

struct Loaded {
  bool ok = false;
  std::uint32_t rings = 0;  ///< how many the memory that comes along holds
  std::string why;          ///< not ok
  bool operator==(const Loaded&) const = default;
};

struct MapRequest {
  enum Operation : std::uint8_t {
    get,
    get_text,
    set,
    set_text,
    add,
    update,
    remove,
    clear,
    length,
    snapshot,
    lost,
    count_
  };
  Operation operation = get;
  std::uint64_t generation =
      0;  ///< which program's: counted from 1 on each connection; 0: the running one's
  std::uint32_t map = 0;
  std::vector<Value> keys;
  Value value;
  bool operator==(const MapRequest&) const = default;
};
struct MapReply {
  bool there = false;
  std::uint64_t number = 0;
  std::string text;
  std::vector<MapRow> rows;
  bool operator==(const MapReply&) const = default;
};

struct Held {
  std::uint32_t vcpu = 0;
  std::uint64_t token = 0;       ///< to be named when it is released
  std::uint64_t generation = 0;  ///< of the program, as in MapRequest
  std::uint32_t probe = 0;
  std::uint64_t monotonic_ns = 0;
  x86::Registers registers;
  std::vector<Value> fields;     ///< by the catalogue's order
  std::vector<Value> arguments;  ///< arg0..arg5, or none
  Value result;
  std::uint64_t task = 0;     ///< the task that the event is about, if it is not the current one
  std::int64_t syscall = -1;  ///< its number
  bool compat = false;
};
struct Release {
  std::uint32_t vcpu = 0;
  std::uint64_t token = 0;
  struct Write {
    std::uint32_t reg = 0;  ///< a general one, as Reg numbers them
    std::uint64_t value = 0;
    bool operator==(const Write&) const = default;
  };
  std::vector<Write> writes;
  bool operator==(const Release&) const = default;
};

/// To be written by a CPU that is held, as it sees memory: QEMU throws away what it translated.
struct HeldWrite {
  std::uint32_t vcpu = 0;
  std::uint64_t token = 0;
  std::uint64_t address = 0;
  std::vector<std::byte> bytes;  ///< at most kMaxHeldWrite
  bool operator==(const HeldWrite&) const = default;
};
inline constexpr std::size_t kMaxHeldWrite = 64U << 10;

struct AgentLosses {
  std::uint64_t firings = 0;  ///< not run: thinned
  std::uint64_t late = 0;     ///< held, and the host did not answer in time
  std::uint64_t over_budget = 0;
  std::uint64_t fired = 0;  ///< all firings, for rates
  bool operator==(const AgentLosses&) const = default;
};

struct AgentNote {
  std::uint8_t kind = 0;  ///< SourceNote::Kind
  std::uint32_t probe = kNoProbe;
  std::string text;
  static constexpr std::uint32_t kNoProbe = 0xffffffff;
  bool operator==(const AgentNote&) const = default;
};

[[nodiscard]] std::vector<std::byte> encode(const std::vector<AgentRam>& message);
[[nodiscard]] std::vector<std::byte> encode(const std::vector<AgentAim>& message);
[[nodiscard]] std::vector<std::byte> encode(const Welcome& message);
[[nodiscard]] std::vector<std::byte> encode(const Loaded& message);
[[nodiscard]] std::vector<std::byte> encode(const MapRequest& message);
[[nodiscard]] std::vector<std::byte> encode(const MapReply& message);
[[nodiscard]] std::vector<std::byte> encode(const Held& message);
[[nodiscard]] std::vector<std::byte> encode(const Release& message);
[[nodiscard]] std::vector<std::byte> encode(const HeldWrite& message);
[[nodiscard]] std::vector<std::byte> encode(const AgentLosses& message);
[[nodiscard]] std::vector<std::byte> encode(const AgentNote& message);

/// From a body that may hold anything. @returns malformed
template <class T>
[[nodiscard]] Result<T> decode_message(Bytes body);
template <>
Result<std::vector<AgentRam>> decode_message<std::vector<AgentRam>>(Bytes body);
template <>
Result<std::vector<AgentAim>> decode_message<std::vector<AgentAim>>(Bytes body);
template <>
Result<Welcome> decode_message<Welcome>(Bytes body);
template <>
Result<Loaded> decode_message<Loaded>(Bytes body);
template <>
Result<MapRequest> decode_message<MapRequest>(Bytes body);
template <>
Result<MapReply> decode_message<MapReply>(Bytes body);
template <>
Result<Held> decode_message<Held>(Bytes body);
template <>
Result<Release> decode_message<Release>(Bytes body);
template <>
Result<HeldWrite> decode_message<HeldWrite>(Bytes body);
template <>
Result<AgentLosses> decode_message<AgentLosses>(Bytes body);
template <>
Result<AgentNote> decode_message<AgentNote>(Bytes body);

}  // namespace vitrine::probe
