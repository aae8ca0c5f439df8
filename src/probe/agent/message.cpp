#include "probe/agent/message.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "probe/agent/value_wire.h"

namespace vitrine::probe {
namespace {

template <class T>
Result<T> finish(const WireReader& in, T message) {
  if (!in.done()) return fail(Errc::malformed, 0, "agent message");
  return message;
}

}  // namespace

std::vector<std::byte> encode_frame(MessageKind kind, Bytes body) {
  WireWriter out;
  out.put(kFrameMagic);
  out.put(kAgentProtocol);
  out.put(static_cast<std::uint16_t>(kind));
  out.put_bytes(body);
  return std::move(out).take();
}

Result<FrameHead> decode_frame_head(Bytes bytes) {
  WireReader in(bytes);
  const auto magic = in.get<std::uint32_t>();
  const auto version = in.get<std::uint16_t>();
  const auto kind = in.get<std::uint16_t>();
  const auto length = in.get<std::uint32_t>();
  if (!in.done() || magic != kFrameMagic) return fail(Errc::malformed, magic, "agent frame");
  if (version != kAgentProtocol)
    return fail(Errc::unsupported, version, "agent protocol's version");
  if (length > kMaxBody) return fail(Errc::malformed, length, "agent frame's length");
  return FrameHead{static_cast<MessageKind>(kind), length};
}

std::vector<std::byte> encode(const std::vector<AgentRam>& message) {
  WireWriter out;
  out.put_list(message);
  return std::move(out).take();
}

template <>
Result<std::vector<AgentRam>> decode_message<std::vector<AgentRam>>(Bytes body) {
  WireReader in(body);
  auto message = in.get_list<AgentRam>();
  if (!in.done() || !plausible(message))
    return fail(Errc::malformed, 0, "agent message: no such RAM");
  return message;
}

std::vector<std::byte> encode(const std::vector<AgentAim>& message) {
  WireWriter out;
  out.put(static_cast<std::uint32_t>(message.size()));
  for (const auto& aim : message) {
    out.put(aim.index);
    out.put_list(aim.sites);
    out.put_list(aim.ranges);
  }
  return std::move(out).take();
}

template <>
Result<std::vector<AgentAim>> decode_message<std::vector<AgentAim>>(Bytes body) {
  WireReader in(body);
  std::vector<AgentAim> message(in.get_count(4 + 2 * 4));
  for (auto& aim : message) {
    aim.index = in.get<std::uint32_t>();
    aim.sites = in.get_list<AgentSite>();
    aim.ranges = in.get_list<AgentRange>();
    if (!plausible(aim.ranges)) in.fail();
  }
  return finish(in, std::move(message));
}

std::vector<std::byte> encode(const Welcome& message) {
  WireWriter out;
  out.put(message.pid);
  out.put(message.vcpus);
  out.put(message.plugin_api);
  out.put(message.can);
  return std::move(out).take();
}
template <>
Result<Welcome> decode_message<Welcome>(Bytes body) {
  WireReader in(body);
  Welcome message;
  message.pid = in.get<std::uint32_t>();
  message.vcpus = in.get<std::uint32_t>();
  message.plugin_api = in.get<std::uint32_t>();
  message.can = in.get<std::uint32_t>();
  return finish(in, message);
}

std::vector<std::byte> encode(const Loaded& message) {
  WireWriter out;
  out.put(static_cast<std::uint8_t>(message.ok));
  out.put(message.rings);
  out.put_text(message.why);
  return std::move(out).take();
}
template <>
Result<Loaded> decode_message<Loaded>(Bytes body) {
  WireReader in(body);
  Loaded message;
  message.ok = in.get<std::uint8_t>() != 0;
  message.rings = in.get<std::uint32_t>();
  message.why = in.get_text();
  return finish(in, std::move(message));
}

std::vector<std::byte> encode(const MapRequest& message) {
  WireWriter out;
  out.put(static_cast<std::uint8_t>(message.operation));
  out.put(message.generation);
  out.put(message.map);
  put_values(out, message.keys);
  put_value(out, message.value);
  return std::move(out).take();
}
template <>
Result<MapRequest> decode_message<MapRequest>(Bytes body) {
  WireReader in(body);
  MapRequest message;
  const auto operation = in.get<std::uint8_t>();
  if (operation >= MapRequest::count_)
    return fail(Errc::malformed, operation, "agent message: no such map operation");
  message.operation = static_cast<MapRequest::Operation>(operation);
  message.generation = in.get<std::uint64_t>();
  message.map = in.get<std::uint32_t>();
  message.keys = get_values(in);
  message.value = get_value(in);
  return finish(in, std::move(message));
}

std::vector<std::byte> encode(const MapReply& message) {
  WireWriter out;
  out.put(static_cast<std::uint8_t>(message.there));
  out.put(message.number);
  out.put_text(message.text);
  put_rows(out, message.rows);
  return std::move(out).take();
}
template <>
Result<MapReply> decode_message<MapReply>(Bytes body) {
  WireReader in(body);
  MapReply message;
  message.there = in.get<std::uint8_t>() != 0;
  message.number = in.get<std::uint64_t>();
  message.text = in.get_text();
  message.rows = get_rows(in);
  return finish(in, std::move(message));
}

std::vector<std::byte> encode(const Held& message) {
  WireWriter out;
  out.put(message.vcpu);
  out.put(message.token);
  out.put(message.generation);
  out.put(message.probe);
  out.put(message.monotonic_ns);
  out.put(message.registers);
  put_values(out, message.fields);
  put_values(out, message.arguments);
  put_value(out, message.result);
  out.put(message.task);
  out.put(message.syscall);
  out.put(static_cast<std::uint8_t>(message.compat));
  return std::move(out).take();
}
template <>
Result<Held> decode_message<Held>(Bytes body) {
  WireReader in(body);
  Held message;
  message.vcpu = in.get<std::uint32_t>();
  message.token = in.get<std::uint64_t>();
  message.generation = in.get<std::uint64_t>();
  message.probe = in.get<std::uint32_t>();
  message.monotonic_ns = in.get<std::uint64_t>();
  // A bool of forged bytes would be neither: it is read as a byte.
  static_assert(std::is_trivially_copyable_v<x86::Registers>);
  auto raw = in.get<std::array<std::byte, sizeof(x86::Registers)>>();
  auto& halted = raw[offsetof(x86::Registers, halted)];
  halted = halted == std::byte{0} ? std::byte{0} : std::byte{1};
  std::memcpy(&message.registers, raw.data(), raw.size());
  message.fields = get_values(in);
  message.arguments = get_values(in);
  message.result = get_value(in);
  message.task = in.get<std::uint64_t>();
  message.syscall = in.get<std::int64_t>();
  message.compat = in.get<std::uint8_t>() != 0;
  return finish(in, std::move(message));
}

std::vector<std::byte> encode(const Release& message) {
  WireWriter out;
  out.put(message.vcpu);
  out.put(message.token);
  out.put(static_cast<std::uint32_t>(message.writes.size()));
  for (const auto& write : message.writes) {
    out.put(write.reg);
    out.put(write.value);
  }
  return std::move(out).take();
}
template <>
Result<Release> decode_message<Release>(Bytes body) {
  WireReader in(body);
  Release message;
  message.vcpu = in.get<std::uint32_t>();
  message.token = in.get<std::uint64_t>();
  message.writes.resize(in.get_count(12));
  for (auto& write : message.writes) {
    write.reg = in.get<std::uint32_t>();
    write.value = in.get<std::uint64_t>();
  }
  return finish(in, std::move(message));
}

std::vector<std::byte> encode(const HeldWrite& message) {
  WireWriter out;
  out.put(message.vcpu);
  out.put(message.token);
  out.put(message.address);
  out.put_bytes(message.bytes);
  return std::move(out).take();
}
template <>
Result<HeldWrite> decode_message<HeldWrite>(Bytes body) {
  WireReader in(body);
  HeldWrite message;
  message.vcpu = in.get<std::uint32_t>();
  message.token = in.get<std::uint64_t>();
  message.address = in.get<std::uint64_t>();
  const auto bytes = in.get_bytes();
  if (bytes.empty() || bytes.size() > kMaxHeldWrite) in.fail();
  message.bytes.assign(bytes.begin(), bytes.end());
  return finish(in, std::move(message));
}

std::vector<std::byte> encode(const AgentLosses& message) {
  WireWriter out;
  out.put(message.firings);
  out.put(message.late);
  out.put(message.over_budget);
  out.put(message.fired);
  return std::move(out).take();
}
template <>
Result<AgentLosses> decode_message<AgentLosses>(Bytes body) {
  WireReader in(body);
  AgentLosses message;
  message.firings = in.get<std::uint64_t>();
  message.late = in.get<std::uint64_t>();
  message.over_budget = in.get<std::uint64_t>();
  message.fired = in.get<std::uint64_t>();
  return finish(in, message);
}

std::vector<std::byte> encode(const AgentNote& message) {
  WireWriter out;
  out.put(message.kind);
  out.put(message.probe);
  out.put_text(message.text);
  return std::move(out).take();
}
template <>
Result<AgentNote> decode_message<AgentNote>(Bytes body) {
  WireReader in(body);
  AgentNote message;
  message.kind = in.get<std::uint8_t>();
  message.probe = in.get<std::uint32_t>();
  message.text = in.get_text();
  return finish(in, std::move(message));
}

}  // namespace vitrine::probe
