#include "machine/guest_writer.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "machine/gdb_client.h"
#include "machine/gdb_link.h"
#include "machine/monitor_text.h"

namespace vitrine {

Outcome<WritableMemory::Effect> GuestWriter::write(Gpa at, Bytes bytes, bool may_stop) {
  if (may_stop) {
    auto done = through_stub(at, bytes);
    if (done || done.error().code != Errc::unsupported) return done;
  }
  return into_process(at, bytes);
}

Outcome<WritableMemory::Effect> GuestWriter::through_stub(Gpa at, Bytes bytes) {
  const auto guardian = TRY(Guardian::start(monitor_));
  const auto link = TRY(GdbLink::open(monitor_, *guardian));
  const auto client = TRY(GdbClient::begin(link->socket()));
  TRY(client->write_physical(at, bytes));
  return Effect::all;
}

Outcome<WritableMemory::Effect> GuestWriter::into_process(Gpa at, Bytes bytes) {
  const auto& process = monitor_.process();
  const auto qmp = TRY(monitor_.talk());
  while (!bytes.empty()) {
    // Page by page: neighbours in the guest may lie apart in QEMU.
    const auto part =
        bytes.first(std::min<std::size_t>(bytes.size(), kPageSize - at.value % kPageSize));
    const auto host = parse_gpa2hva(TRY(qmp->human(fmt::format("gpa2hva {:#x}", at.value))));
    if (!host)
      return std::unexpected(
          Problem(Errc::outside_ram, fmt::format("{:#x} is no RAM of the machine", at.value)));
    const iovec from{const_cast<std::byte*>(part.data()), part.size()};
    const iovec into{reinterpret_cast<void*>(host->hva.value), part.size()};
    const auto written = ::process_vm_writev(process.pid, &from, 1, &into, 1, 0);
    if (written != static_cast<ssize_t>(part.size())) {
      const bool denied = written < 0 && errno == EPERM;
      return std::unexpected(
          Problem(denied ? Errc::denied : Errc::io,
                  fmt::format("the memory of QEMU (pid {}) cannot be written", process.pid),
                  denied ? "run as that user with ptrace permitted, or as root" : ""));
    }
    at += part.size();
    bytes = bytes.subspan(part.size());
  }
  return process.options.accelerator.starts_with("kvm") ? Effect::all : Effect::data_only;
}

}  // namespace vitrine
