// AgentFiring: an event that the agent holds, as a block on the host sees it.
#pragma once

#include <functional>

#include "probe/agent/message.h"
#include "probe/firing.h"

namespace vitrine::probe {

class AgentFiring final : public HeldFiring {
 public:
  using Write = std::function<Outcome<void>(const HeldWrite&)>;
  /// @param held   must outlive this
  /// @param write  has the held CPU write memory; empty where this agent cannot
  AgentFiring(const Held& held, bool can_write_registers, Write write);

  [[nodiscard]] const x86::Registers* registers() const override { return &held_.registers; }
  [[nodiscard]] Told field(unsigned i) const override;
  [[nodiscard]] Told moment(unsigned i) const override;
  Outcome<void> write_register(unsigned reg, std::uint64_t value) override;
  Outcome<void> write_memory(Gva at, Bytes bytes) override;

  /// What the agent is to be told when the block has ended.
  [[nodiscard]] const Release& release() const { return release_; }

 private:
  const Held& held_;
  bool can_write_registers_;
  Write write_;
  Release release_;
};

}  // namespace vitrine::probe
