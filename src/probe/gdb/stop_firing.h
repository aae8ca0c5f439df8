// StopFiring: an event at which the gdbstub holds the machine.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "machine/gdb_client.h"
#include "probe/firing.h"

namespace vitrine::probe {

/// What a stop knows beside its registers.
struct StopTold {
  std::array<Told, 6> arguments{};
  Told result, system_call_number, system_call_name, compat;
  std::vector<Told> fields;
  std::vector<std::string> texts;  ///< what the Tolds borrow; not to grow after
  std::optional<Gva> subject;
};

class StopFiring final : public HeldFiring {
 public:
  StopFiring(GdbClient& client, const std::string& thread, const x86::Registers& registers,
             const StopTold& told)
      : client_(client), thread_(thread), registers_(registers), told_(told) {
    subject = told.subject;
  }

  [[nodiscard]] const x86::Registers* registers() const override { return &registers_; }
  [[nodiscard]] Told field(unsigned i) const override {
    return i < told_.fields.size() ? told_.fields[i] : Told::none();
  }
  [[nodiscard]] Told moment(unsigned i) const override;
  [[nodiscard]] Outcome<void> write_register(unsigned reg, std::uint64_t value) override;
  [[nodiscard]] Outcome<void> write_memory(Gva at, Bytes bytes) override {
    return client_.write_memory(thread_, at, bytes);
  }
  [[nodiscard]] bool holds_machine() const override { return true; }
  [[nodiscard]] Outcome<void> stay_stopped() override {
    stay_ = true;
    return {};
  }

  [[nodiscard]] bool stays() const { return stay_; }
  /// The block moved RIP: the instruction that was stopped at is not to be stepped over.
  [[nodiscard]] bool moved() const { return moved_; }

 private:
  GdbClient& client_;
  const std::string& thread_;
  x86::Registers registers_;
  const StopTold& told_;
  bool stay_ = false, moved_ = false;
};

}  // namespace vitrine::probe
