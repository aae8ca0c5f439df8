#include "probe/actions/machine_actions.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cstring>

#include "linux/process_core.h"
#include "vmipl/catalogue.h"
#include "x86/address_space.h"

namespace vitrine::probe {
namespace {

std::string path_of(const vmipl::Program& program, const vmipl::Site& site) {
  return site.output < program.outputs.size() ? program.outputs[site.output].name : std::string();
}

/// A CPU waits in QEMU for this block: what stops the machine would wait for that CPU.
bool cpu_waits(HeldFiring& firing) {
  return firing.registers() != nullptr && !firing.holds_machine();
}

}  // namespace

MachineActions::MachineActions(const Machine& machine, const linux::Kernel& kernel,
                               Permissions permissions, Teller tell)
    : machine_(machine), kernel_(kernel), permissions_(permissions), tell_(std::move(tell)) {
  if (machine.process() == nullptr) return;
  const Monitor monitor(*machine.process());
  control_ = std::make_unique<GuestControl>(monitor);
  if (permissions.writes)
    writer_ = std::make_unique<GuestWriter>(monitor, WritePermission("--allow-writes"));
}

MachineActions::~MachineActions() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (worker_.joinable()) worker_.join();
}

Outcome<void> MachineActions::can(const vmipl::Program& program, const vmipl::Site& site) {
  const auto& action = vmipl::probes()[site.probe];
  const auto refuse = [](Errc code, std::string message, std::string hint = {}) {
    return std::unexpected(Problem(code, std::move(message), std::move(hint)));
  };
  if (action.name == "Kill") {
    return refuse(Errc::unsupported,
                  "a process is ended by the kernel's own code, which cannot be called from "
                  "outside without taking over one of its CPUs",
                  "Pause(), Isolate() and DumpProcess() leave the guest's own state alone");
  }
  if (control_ == nullptr && action.name != "DumpProcess")
    return refuse(Errc::unsupported, "an image is no machine to do this to");
  if ((action.needs & vmipl::Needs::files) != 0 &&
      (site.output >= program.outputs.size() || program.outputs[site.output].channel)) {
    return refuse(Errc::invalid, fmt::format("{} writes a file, not a channel", action.name));
  }
  if (action.name == "WriteRegister" &&
      vmipl::registers()[site.numbers.at(0)].kind != vmipl::RegisterInfo::general) {
    return refuse(
        Errc::unsupported,
        fmt::format("{} is not written from outside: QEMU would take it without what hangs on it",
                    vmipl::registers()[site.numbers[0]].name));
  }
  // What could not be had with every permission was told first.
  if ((action.needs & vmipl::Needs::writes) != 0 && !permissions_.writes)
    return refuse(Errc::denied, "it changes the guest", "start it with --allow-writes");
  if ((action.needs & vmipl::Needs::control) != 0 && !permissions_.control)
    return refuse(Errc::denied, "it controls the machine", "start it with --allow-control");
  return {};
}

Outcome<void> MachineActions::run(const vmipl::Program& program, const vmipl::Site& site,
                                  std::span<const ValueView> values, HeldFiring& firing) {
  const auto name = vmipl::probes()[site.probe].name;
  for (const auto& value : values) {
    if (!value.there)
      return put_down(std::unexpected(
          Problem(Errc::invalid, fmt::format("{}: a value of it is missing", name))));
  }
  const auto path = path_of(program, site);
  if (name == "Pause") {
    if (auto stays = firing.stay_stopped(); stays) return put_down("paused the machine");
    return now_or_soon(firing, [this] { return control_->pause(); });
  }
  if (name == "Resume" && firing.holds_machine())
    return put_down("let the machine run, as it does after each event");
  if (name == "Resume") return now_or_soon(firing, [this] { return control_->resume(); });
  if (name == "Isolate") return now_or_soon(firing, [this] { return control_->isolate(); });
  if (name == "Reconnect") return now_or_soon(firing, [this] { return control_->reconnect(); });
  if (name == "Throttle")
    return now_or_soon(firing,
                       [this, percent = static_cast<unsigned>(std::min<std::uint64_t>(
                                  values[0].number, 100))] { return control_->throttle(percent); });
  if (name == "Snapshot")
    return now_or_soon(firing, [this, path] { return control_->snapshot(path); });
  if (name == "Screenshot")
    return now_or_soon(firing, [this, path] { return control_->screenshot(path); });
  if (name == "DumpProcess")
    return put_down(dump_process(static_cast<std::int64_t>(values[0].number), path));
  if (name == "WriteRegister") {
    const auto reg = static_cast<unsigned>(site.numbers.at(0));
    auto done = firing.write_register(reg, values[0].number);
    if (!done) return put_down(std::unexpected(std::move(done.error())));
    return put_down(fmt::format("wrote {:#x} to {} of CPU {}", values[0].number,
                                vmipl::registers()[reg].name, firing.cpu.value_or(0)));
  }
  if (name == "WriteMemory") {
    if (values[1].textual)
      return put_down(write_memory(values[0].number, bytes_of(values[1].text), firing));
    std::array<std::byte, 8> bytes{};
    std::memcpy(bytes.data(), &values[1].number, sizeof bytes);
    return put_down(
        write_memory(values[0].number,
                     std::span(bytes).first(std::min<std::size_t>(8, site.numbers.at(0))), firing));
  }
  return put_down(
      std::unexpected(Problem(Errc::unsupported, fmt::format("{} is not done here", name))));
}

Outcome<std::string> MachineActions::write_memory(std::uint64_t at,
                                                  std::span<const std::byte> bytes,
                                                  HeldFiring& firing) {
  const auto words = fmt::format("wrote {} bytes at {:#x}", bytes.size(), at);
  if (auto done = firing.write_memory(Gva{at}, bytes);
      done || done.error().code != Errc::unsupported) {
    if (!done) return std::unexpected(std::move(done.error()));
    return words;
  }
  if (!writer_)
    return std::unexpected(
        Problem(Errc::denied, "it changes the guest", "start it with --allow-writes"));
  // By the page tables of the CPU at the event; else by the kernel's.
  const auto* registers = firing.registers();
  const x86::AddressSpace own(machine_.memory(),
                              registers != nullptr
                                  ? x86::PageRoot::from(registers->cr3, registers->five_levels())
                                  : kernel_.memory().root());
  bool code_stays = false;
  for (std::size_t done = 0; done < bytes.size();) {
    const auto part = bytes.subspan(
        done, std::min<std::size_t>(bytes.size() - done, kPageSize - (at + done) % kPageSize));
    const auto where = own.translate(Gva{at + done});
    if (!where) return std::unexpected(Problem(where.error()));
    const auto effect = TRY(writer_->write(where->address, part, !cpu_waits(firing)));
    code_stays |= effect == WritableMemory::Effect::data_only;
    done += part.size();
  }
  return words +
         (code_stays ? "; if it is code that QEMU has translated, the old code runs on" : "");
}

Outcome<std::string> MachineActions::dump_process(std::int64_t pid, const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return std::unexpected(Problem(Errc::io, fmt::format("cannot write {}", path)));
  const auto core = TRY(linux::write_process_core(kernel_, pid, file.get()));
  return fmt::format(
      "saved process {} ({}) to {}: {} threads, {} KiB{}{}", pid, core.name, path, core.threads,
      core.bytes / kKiB,
      core.lost != 0 ? fmt::format(", {} KiB went while it was read", core.lost / kKiB) : "",
      core.truncated ? ", not all of it" : "");
}

Outcome<void> MachineActions::put_down(Outcome<std::string> done) {
  GuestChange change{wall_now(), done ? *done : done.error().message, !done};
  {
    const std::lock_guard lock(mutex_);
    changes_.push_back(change);
  }
  if (tell_) tell_(change);
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Outcome<void> MachineActions::now_or_soon(HeldFiring& firing, Job job) {
  if (!cpu_waits(firing)) return put_down(job());
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (!worker_.joinable()) worker_ = std::thread([this] { work(); });
  }
  wake_.notify_all();
  return {};
}

void MachineActions::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const auto job = std::move(jobs_.front());
    jobs_.pop_front();
    busy_ = true;
    lock.unlock();
    (void)put_down(job());
    lock.lock();
    busy_ = false;
    wake_.notify_all();
  }
}

std::vector<GuestChange> MachineActions::changes() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return jobs_.empty() && !busy_; });
  return changes_;
}

}  // namespace vitrine::probe
