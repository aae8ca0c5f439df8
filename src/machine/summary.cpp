#include "machine/summary.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "machine/confidential.h"
#include "machine/inferred_ram.h"
#include "machine/own_monitor.h"
#include "machine/run_state.h"

namespace vitrine {
namespace {

/// "kvm" or "tcg" by what the process holds open; what the command line says otherwise.
std::string accelerator_of(const QemuProcess& process) {
  const auto folder = fmt::format("/proc/{}/fd", process.pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> descriptors(::opendir(folder.c_str()), &::closedir);
  if (descriptors) {
    while (const auto* entry = ::readdir(descriptors.get())) {
      std::array<char, 64> target;
      const auto size = ::readlink(fmt::format("{}/{}", folder, entry->d_name).c_str(),
                                   target.data(), target.size());
      if (size > 0 &&
          std::string_view(target.data(), static_cast<std::size_t>(size)) == "anon_inode:kvm-vm")
        return "kvm";
    }
    return "tcg";
  }
  return process.options.accelerator.empty() ? "tcg" : process.options.accelerator;
}

std::string ask_for_state(const QemuProcess& process, std::string& remark) {
  const auto qmp = connect_to(
      process, process.monitors.front(),
      {.greeting = std::chrono::milliseconds(200), .answer = std::chrono::milliseconds(1000)});
  if (!qmp) {
    remark = qmp.error().message;
    return {};
  }
  return ask_run_state(**qmp).value_or("");
}

/// Why we may not read the process's memory, by the check that the kernel itself makes.
std::optional<Error> refusal(pid_t pid) {
  const FileDescriptor memory(
      ::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (memory) return std::nullopt;
  return Error{errno == ENOENT || errno == ESRCH ? Errc::vanished : Errc::denied, 0, "its memory"};
}

}  // namespace

MachineSummary summarize(const QemuProcess& process, bool ask_state) {
  MachineSummary summary{
      .name = process.name(),
      .pid = process.pid,
      .user = process.user,
      .architecture = process.architecture,
      .machine_type = process.options.machine_type.empty() ? "pc" : process.options.machine_type,
      .accelerator = accelerator_of(process),
      .memory_bytes = process.options.memory_bytes,
      .vcpus = process.options.vcpus};
  if (!process.monitors.empty()) {
    summary.monitor = process.monitors.front().shown;
    if (ask_state) summary.state = ask_for_state(process, summary.remark);
  } else if (!process.unreachable_monitors.empty()) {
    summary.remark = process.unreachable_monitors.front();
  }
  if (!process.architecture.empty() && process.architecture != "x86_64" &&
      process.architecture != "i386") {
    summary.remark = "only x86 guests are read";
    return summary;
  }

  if (const auto support = confidential_support(process.options); !support.empty()) {
    summary.remark = fmt::format("a confidential guest ({}): its memory cannot be read", support);
    return summary;
  }

  const auto maps = read_process_maps(process.pid);
  const auto refused = maps ? refusal(process.pid) : Error{maps.error().code, 0, "its memory map"};
  bool all_shared = false;
  if (maps) {
    const auto readings = infer_ram(process.options, *maps);
    all_shared =
        readings && std::ranges::all_of(readings->front().ranges, [&](const HostRange& range) {
          const auto* mapping = mapping_at(*maps, range.hva);
          return mapping != nullptr && mapping->shared && mapping->inode != 0;
        });
  }
  if (all_shared) {
    summary.ram = "shared mapping";
  } else if (!refused) {
    summary.ram = "process_vm_readv";
  } else {
    if (!process.monitors.empty() && (!ask_state || !summary.state.empty()))
      summary.ram = "QMP monitor";
    const auto why = ram_problem(process.pid, *refused);
    summary.remark = why.code == Errc::denied ? why.hint
                     : why.hint.empty()       ? why.message
                                              : why.message + "; " + why.hint;
  }
  return summary;
}

std::vector<MachineSummary> list_machines(bool ask_state) {
  std::vector<MachineSummary> all;
  for (const auto& process : find_qemu_processes()) all.push_back(summarize(process, ask_state));
  return all;
}

}  // namespace vitrine
