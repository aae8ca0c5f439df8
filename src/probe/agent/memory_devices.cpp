#include "probe/agent/memory_devices.h"

#include <algorithm>
#include <charconv>

#include "machine/own_monitor.h"
#include "machine/qemu_ram.h"

namespace vitrine::probe {
namespace {

constexpr std::string_view kQuestion = "info memory-devices";

/// The number behind `key` at a line's beginning: "  addr: 0x100000000".
std::optional<std::uint64_t> number_of(std::string_view line, std::string_view key) {
  const auto begin = line.find_first_not_of(' ');
  if (begin == std::string_view::npos || !line.substr(begin).starts_with(key)) return std::nullopt;
  auto text = line.substr(begin + key.size());
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(' ')));
  const int base = text.starts_with("0x") ? 16 : 10;
  if (base == 16) text.remove_prefix(2);
  std::uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value, base).ec != std::errc())
    return std::nullopt;
  return value;
}

/// The answer of the first of a process's monitors that gives one.
template <class Ask>
auto ask_any(const QemuProcess& process, Ask&& ask) -> decltype(ask(std::declval<Qmp&>())) {
  Problem last(Errc::unsupported,
               "the machine has no QMP socket: where its RAM lies in QEMU cannot be asked",
               "start it with -qmp unix:PATH,server=on,wait=off");
  for (const auto& endpoint : process.monitors) {
    auto qmp = connect_to(process, endpoint);
    if (!qmp) {
      last = qmp.error();
      continue;
    }
    auto answer = ask(**qmp);
    if (answer) return answer;
    last = answer.error();
  }
  return std::unexpected(last);
}

}  // namespace

std::vector<AgentRange> parse_memory_devices(std::string_view text) {
  std::vector<AgentRange> devices;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("Memory device")) {
      devices.emplace_back();
      continue;
    }
    if (devices.empty()) continue;
    auto& device = devices.back();
    for (const auto* key : {"addr:", "memaddr:"}) {
      if (const auto value = number_of(line, key)) device.start = *value;
    }
    // What a virtio-mem device may grow to counts.
    for (const auto* key : {"size:", "max-size:"}) {
      if (const auto value = number_of(line, key)) device.size = std::max(device.size, *value);
    }
  }
  std::erase_if(devices, [](const AgentRange& one) { return one.size == 0; });
  return devices;
}

Outcome<MachineRam> ask_machine_ram(const QemuProcess& process) {
  return ask_any(process, [](Qmp& qmp) -> Outcome<MachineRam> {
    MachineRam ram;
    ram.devices = TRY(qmp.human(kQuestion));
    const auto devices = parse_memory_devices(ram.devices);
    for (const auto& range : TRY(ask_memory_map(qmp))) {
      const bool removable = std::any_of(devices.begin(), devices.end(), [&](const auto& device) {
        return range.range.start.value < device.start + device.size &&
               device.start < range.range.start.value + range.range.size;
      });
      ram.ranges.push_back(
          {range.range.start.value, range.range.size, range.hva.value, removable ? 1ULL : 0ULL});
    }
    std::sort(ram.ranges.begin(), ram.ranges.end(),
              [](const AgentRam& a, const AgentRam& b) { return a.size > b.size; });
    return ram;
  });
}

Outcome<std::string> ask_memory_devices(const QemuProcess& process) {
  return ask_any(process, [](Qmp& qmp) { return qmp.human(kQuestion); });
}

}  // namespace vitrine::probe
