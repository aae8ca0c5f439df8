#include "probe/gdb/stop_firing.h"

#include <fmt/format.h>

#include "vmipl/catalogue.h"

namespace vitrine::probe {

Told StopFiring::moment(unsigned i) const {
  const auto& moment = vmipl::moments()[i];
  if (moment.group.empty()) {
    if (moment.name.size() == 4 && moment.name.starts_with("arg"))
      return told_.arguments[static_cast<std::size_t>(moment.name[3] - '0') % 6];
    if (moment.name == "ret") return told_.result;
  }
  if (moment.group == "syscall")
    return moment.name == "number" ? told_.system_call_number
           : moment.name == "name" ? told_.system_call_name
                                   : told_.compat;
  return {};
}

Outcome<void> StopFiring::write_register(unsigned reg, std::uint64_t value) {
  if (reg >= vmipl::registers().size())
    return std::unexpected(Problem(Errc::invalid, "there is no such register"));
  const auto name = vmipl::registers()[reg].name;
  const auto kind = vmipl::registers()[reg].kind;
  if (kind != vmipl::RegisterInfo::general) {
    return std::unexpected(Problem(
        Errc::unsupported,
        fmt::format("{} is not written through a gdbstub: QEMU takes it without what hangs on it",
                    name)));
  }
  TRY(client_.write_register(thread_, name, value));
  if (name == "rip") {
    registers_.rip = value;
    moved_ = true;
  }
  constexpr std::string_view kGeneral[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  for (std::size_t g = 0; g < std::size(kGeneral); ++g) {
    if (name == kGeneral[g]) registers_.gpr[g] = value;
  }
  if (name == "rflags") registers_.rflags = value;
  return {};
}

}  // namespace vitrine::probe
