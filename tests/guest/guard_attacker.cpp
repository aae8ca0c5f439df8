// A guard that has fallen, for the guest "traitor": as soon as an FVM is its, it says that it
// watches, and that it is bad. Every other guest has the real guard.
#include <string_view>

#include "fvm/guard/guard_main.h"
#include "fvm/messages.h"
#include "fvm/packet.h"
#include "machine/qemu_ram.h"

using namespace vitrine;
using namespace vitrine::fvm;

namespace {

constexpr int kSupervisor = 3, kMonitor = 4;

int betray() {
  auto qmp = Qmp::adopt(FileDescriptor(kMonitor));
  if (!qmp) return 1;
  const auto ranges = ask_memory_map(**qmp);
  if (!ranges) return 1;
  RangesPacket survey;
  for (const auto& range : *ranges)
    survey.range[survey.ranges++] = {range.range.start.value, range.range.size, range.hva.value, 0,
                                     0};
  if (!send_packet(kSupervisor, packet_bytes(survey))) return 1;
  while (true) {
    const auto packet = receive_packet(kSupervisor, sizeof(RangesPacket), true);
    if (!packet || !*packet) return 2;
    const auto employed = packet_as<EmployPacket>((*packet)->bytes);
    if (!employed) continue;
    const auto generation = employed->generation;
    (void)send_packet(kSupervisor, packet_bytes(WatchedPacket{.generation = generation}));
    (void)send_packet(kSupervisor,
                      packet_bytes(BadPacket{.cause = Cause::stuck, .generation = generation}));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "traitor") return betray();
  return run_guard(argc, argv);
}
