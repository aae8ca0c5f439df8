#include "probe/agent/agent_firing.h"

#include <algorithm>
#include <array>

#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

/// By the catalogue's registers(), as the agent numbers the general ones.
std::optional<std::uint32_t> general_register(unsigned catalogue) {
  constexpr std::array<std::string_view, 16> kNames = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                                       "rbp", "rsp", "r8",  "r9",  "r10", "r11",
                                                       "r12", "r13", "r14", "r15"};
  const auto all = vmipl::registers();
  for (std::uint32_t i = 0; i < kNames.size() && catalogue < all.size(); ++i) {
    if (all[catalogue].name == kNames[i]) return i;
  }
  return std::nullopt;
}

Told told(const Value& value) {
  if (!value.there) return Told::none();
  return value.textual ? Told::of(std::string_view(value.text)) : Told::of(value.number);
}

}  // namespace

AgentFiring::AgentFiring(const Held& held, bool can_write_registers, Write write)
    : held_(held), can_write_registers_(can_write_registers), write_(std::move(write)) {
  probe = held.probe;
  monotonic_ns = held.monotonic_ns;
  cpu = held.vcpu;
  release_.vcpu = held.vcpu;
  release_.token = held.token;
}

Told AgentFiring::field(unsigned i) const {
  return i < held_.fields.size() ? told(held_.fields[i]) : Told{};
}

Told AgentFiring::moment(unsigned i) const {
  const auto all = vmipl::moments();
  if (i >= all.size()) return {};
  const auto& info = all[i];
  if (info.group.empty() && info.name.size() == 4 && info.name.starts_with("arg")) {
    const auto which = static_cast<std::size_t>(info.name[3] - '0');
    return which < held_.arguments.size() ? told(held_.arguments[which]) : Told{};
  }
  if (info.group.empty() && info.name == "ret") return told(held_.result);
  if (info.group == "syscall" && held_.syscall >= 0) {
    const auto number = static_cast<std::uint64_t>(held_.syscall);
    if (info.name == "number") return Told::of(number);
    if (info.name == "compat") return Told::of(std::uint64_t{held_.compat});
    const auto name =
        held_.compat ? vmipl::compat_system_call_name(number) : vmipl::system_call_name(number);
    return name.empty() ? Told::none() : Told::of(name);
  }
  if (held_.task != 0 && info.name == "task") return Told::of(held_.task);
  return {};
}

Outcome<void> AgentFiring::write_register(unsigned reg, std::uint64_t value) {
  const auto number = general_register(reg);
  if (!can_write_registers_ || !number)
    return std::unexpected(Problem(
        Errc::unsupported, number ? "this QEMU lets no agent write registers"
                                  : "only the general registers can be written at an event"));
  release_.writes.push_back({*number, value});
  return {};
}

Outcome<void> AgentFiring::write_memory(Gva at, Bytes bytes) {
  if (!write_) return HeldFiring::write_memory(at, bytes);
  for (std::size_t done = 0; done < bytes.size();) {
    const auto part = bytes.subspan(done, std::min(bytes.size() - done, kMaxHeldWrite));
    TRY(write_({held_.vcpu, held_.token, at.value + done, {part.begin(), part.end()}}));
    done += part.size();
  }
  return {};
}

}  // namespace vitrine::probe
