#include "machine/qemu_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace vitrine {
namespace {

using Properties = std::map<std::string, std::string, std::less<>>;

/// "first,key=value,flag": `first_key` names a leading value without '='. A doubled
/// comma is a comma; an option may also be written as JSON (libvirt does).
Properties parse_properties(std::string_view text, std::string_view first_key) {
  Properties all;
  if (text.starts_with('{')) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return all;
    for (const auto& [key, value] : json.items()) {
      all[key] = value.is_string() ? value.get<std::string>()
                 : value.is_boolean()
                     ? (value.get<bool>() ? "on" : "off")
                     : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    return all;
  }
  bool first = true;
  while (!text.empty()) {
    std::string item;
    std::size_t i = 0;
    for (; i < text.size(); ++i) {
      if (text[i] == ',') {
        if (i + 1 >= text.size() || text[i + 1] != ',') break;
        ++i;
      }
      item += text[i];
    }
    text.remove_prefix(std::min(text.size(), i + 1));
    if (const auto equals = item.find('='); equals != std::string::npos) {
      all[item.substr(0, equals)] = item.substr(equals + 1);
    } else if (first && !first_key.empty()) {
      all[std::string(first_key)] = item;
    } else if (item.starts_with("no") && item.size() > 2 &&
               (item == "nowait" || item == "nodelay")) {
      all[item.substr(2)] = "off";
    } else if (!item.empty()) {
      all[item] = "on";
    }
    first = false;
  }
  return all;
}

std::string get(const Properties& all, std::string_view key) {
  const auto found = all.find(key);
  return found == all.end() ? std::string() : found->second;
}

std::optional<bool> get_bool(const Properties& all, std::string_view key) {
  const auto text = get(all, key);
  if (text == "on" || text == "yes" || text == "true" || text == "y") return true;
  if (text == "off" || text == "no" || text == "false" || text == "n") return false;
  return std::nullopt;
}

unsigned get_count(const Properties& all, std::string_view key) {
  const auto text = get(all, key);
  unsigned value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

unsigned count_vcpus(const Properties& smp) {
  if (const auto cpus = get_count(smp, "cpus"); cpus != 0) return cpus;
  std::uint64_t product = 1;
  for (const auto* key :
       {"drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads"}) {
    if (const auto factor = get_count(smp, key); factor != 0) product *= factor;
    product = std::min<std::uint64_t>(product, 65536);
  }
  if (product == 1) product = std::max(1U, get_count(smp, "maxcpus"));
  return static_cast<unsigned>(product);
}

/// The socket of "-chardev socket,..." or of "-qmp unix:...".
std::optional<MonitorOption> socket_of(const Properties& chardev) {
  if (get(chardev, "backend") != "socket") return std::nullopt;
  MonitorOption monitor;
  monitor.server = get_bool(chardev, "server").value_or(false);
  monitor.unix_path = get(chardev, "path");
  monitor.host = get(chardev, "host");
  monitor.port = get(chardev, "port");
  monitor.abstract = get_bool(chardev, "abstract").value_or(false);
  if (const auto text = get(chardev, "fd"); !text.empty()) {
    int number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc{} && number >= 0) monitor.socket_fd = number;
  }
  return monitor;
}

// "unix:/run/q.sock,server=on,wait=off", "tcp:localhost:4444,server", "chardev:id".
std::optional<MonitorOption> legacy_socket(std::string_view text,
                                           const std::map<std::string, Properties>& chardevs) {
  if (text.starts_with("chardev:")) {
    const auto found = chardevs.find(std::string(text.substr(8)));
    return found == chardevs.end() ? std::nullopt : socket_of(found->second);
  }
  const auto properties = parse_properties(text, "address");
  const auto address = get(properties, "address");
  MonitorOption monitor;
  monitor.server = get_bool(properties, "server").value_or(false);
  if (address.starts_with("unix:")) {
    monitor.unix_path = address.substr(5);
    monitor.abstract = get_bool(properties, "abstract").value_or(false);
    return monitor;
  }
  if (address.starts_with("tcp:") || address.starts_with("telnet:")) {
    const auto rest = address.substr(address.find(':') + 1);
    const auto colon = rest.rfind(':');
    if (colon == std::string::npos) return std::nullopt;
    monitor.host = rest.substr(0, colon);
    monitor.port = rest.substr(colon + 1);
    return monitor;
  }
  return std::nullopt;
}

// Options whose next word is theirs even if it begins with '-'.
constexpr std::array<std::string_view, 40> kTakesWord = {
    "append",   "accel",   "audiodev",   "bios",   "blockdev", "boot",   "cdrom",   "chardev",
    "cpu",      "device",  "display",    "drive",  "fw_cfg",   "global", "hda",     "hdb",
    "incoming", "initrd",  "kernel",     "loadvm", "m",        "M",      "machine", "mem-path",
    "mon",      "monitor", "name",       "net",    "netdev",   "nic",    "numa",    "object",
    "pidfile",  "qmp",     "qmp-pretty", "rtc",    "sandbox",  "serial", "smp",     "uuid"};
// Of those, what hardly any other program has.
constexpr std::array<std::string_view, 20> kTelling = {
    "accel",  "append",  "audiodev", "blockdev", "chardev", "device", "drive",
    "fw_cfg", "global",  "initrd",   "kernel",   "m",       "M",      "machine",
    "mon",    "monitor", "netdev",   "object",   "qmp",     "smp"};

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text, std::uint64_t unit) {
  if (text.empty()) return std::nullopt;
  double value = 0;
  std::size_t used = 0;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    std::uint64_t whole = 0;
    const auto [end, error] =
        std::from_chars(text.data() + 2, text.data() + text.size(), whole, 16);
    if (error != std::errc{} || whole >> 63 != 0) return std::nullopt;
    if (end == text.data() + text.size() && unit == 1) return whole;
    value = static_cast<double>(whole);
    used = static_cast<std::size_t>(end - text.data());
  } else {
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc{} || !(value >= 0)) return std::nullopt;
    used = static_cast<std::size_t>(end - text.data());
  }
  double factor = static_cast<double>(unit);
  if (used < text.size()) {
    constexpr std::string_view kUnits = "bkmgtpe";
    const auto power = kUnits.find(static_cast<char>(text[used] | 0x20));
    if (power == std::string_view::npos) return std::nullopt;
    factor = std::pow(1024.0, static_cast<double>(power));
    if (++used < text.size() && (text[used] == 'B' || text[used] == 'b')) ++used;
    if (used != text.size()) return std::nullopt;
  }
  const double bytes = value * factor;
  if (bytes >= 9223372036854775808.0) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

const MemoryBackendOption* QemuOptions::backend(std::string_view id) const {
  const auto found = std::ranges::find(backends, id, &MemoryBackendOption::id);
  return found == backends.end() ? nullptr : &*found;
}

std::vector<const MemoryBackendOption*> QemuOptions::ram_backends() const {
  std::vector<const MemoryBackendOption*> all;
  for (const auto& id : numa_backends) {
    if (const auto* one = backend(id)) all.push_back(one);
  }
  if (!all.empty()) return all;
  const auto own = machine.find("memory-backend");
  if (own != machine.end()) {
    if (const auto* one = backend(own->second)) all.push_back(one);
  }
  return all;
}

QemuOptions parse_qemu_options(std::span<const std::string> words) {
  QemuOptions options;
  std::map<std::string, Properties> chardevs;
  std::vector<std::string> qmp_addresses;  // of -qmp
  std::vector<Properties> mons;            // of -mon
  std::multimap<unsigned, Properties> nodes;

  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string_view option = words[i];
    if (!option.starts_with('-')) continue;
    option.remove_prefix(option.starts_with("--") ? 2 : 1);
    const bool takes = std::ranges::find(kTakesWord, option) != kTakesWord.end();
    if (std::ranges::find(kTelling, option) != kTelling.end()) ++options.recognised;
    if (option == "enable-kvm") {
      options.accelerator = "kvm";
      ++options.recognised;
    }
    if (option == "readconfig") options.reads_config = true;
    if (!takes || i + 1 >= words.size()) continue;
    const std::string_view value = words[++i];

    if (option == "name") {
      const auto properties = parse_properties(value, "guest");
      if (const auto name = get(properties, "guest"); !name.empty()) options.name = name;
    } else if (option == "m") {
      const auto properties = parse_properties(value, "size");
      auto text = get(properties, "size");
      if (text.empty()) text = get(properties, "mem");
      if (const auto size = parse_size(text, 1ULL << 20); size && *size != 0) {
        options.memory_bytes = (*size + 8191) / 8192 * 8192;  // as QEMU rounds
        options.memory_said = true;
      }
    } else if (option == "smp") {
      options.vcpus = count_vcpus(parse_properties(value, "cpus"));
    } else if (option == "M" || option == "machine") {
      for (auto& [key, text] : parse_properties(value, "type")) {
        if (key == "type") {
          options.machine_type = text;
        } else if (key == "accel") {
          options.accelerator = text;
        } else {
          options.machine[key] = text;
        }
      }
    } else if (option == "accel") {
      const auto accelerator = get(parse_properties(value, "accel"), "accel");
      options.accelerator += (options.accelerator.empty() ? "" : ":") + accelerator;
    } else if (option == "object") {
      const auto properties = parse_properties(value, "qom-type");
      const auto type = get(properties, "qom-type");
      if (type.starts_with("memory-backend-")) {
        options.backends.push_back({.id = get(properties, "id"),
                                    .kind = type.substr(15),
                                    .size_bytes = parse_size(get(properties, "size")).value_or(0),
                                    .share = get_bool(properties, "share"),
                                    .path = get(properties, "mem-path")});
      }
    } else if (option == "numa") {
      const auto properties = parse_properties(value, "type");
      if (get(properties, "type") == "node") {
        const auto number = properties.contains("nodeid") ? get_count(properties, "nodeid")
                                                          : static_cast<unsigned>(nodes.size());
        nodes.emplace(number, properties);
      }
    } else if (option == "uuid") {
      options.uuid = value;
    } else if (option == "mem-path") {
      options.mem_path = value;
    } else if (option == "chardev") {
      auto properties = parse_properties(value, "backend");
      chardevs[get(properties, "id")] = std::move(properties);
    } else if (option == "qmp" || option == "qmp-pretty") {
      qmp_addresses.emplace_back(value);
    } else if (option == "mon") {
      mons.push_back(parse_properties(value, "chardev"));
    } else if (option == "device") {
      const auto properties = parse_properties(value, "driver");
      const auto driver = get(properties, "driver");
      if (driver == "pc-dimm" || driver == "nvdimm" || driver == "virtio-mem-pci" ||
          driver == "virtio-pmem-pci") {
        auto address = get(properties, "addr");
        if (driver.starts_with("virtio")) address = get(properties, "memaddr");
        options.dimms.push_back({.id = get(properties, "id"),
                                 .backend = get(properties, "memdev"),
                                 .address = parse_size(address)});
      }
    }
  }

  for (const auto& [number, properties] : nodes) {
    if (const auto memdev = get(properties, "memdev"); !memdev.empty())
      options.numa_backends.push_back(memdev);
    if (const auto size = parse_size(get(properties, "mem"), 1ULL << 20))
      options.numa_sizes.push_back(*size);
  }
  for (const auto& address : qmp_addresses) {
    if (auto monitor = legacy_socket(address, chardevs))
      options.monitors.push_back(std::move(*monitor));
  }
  for (const auto& mon : mons) {
    if (get(mon, "mode") != "control") continue;
    options.of_libvirt |= get(mon, "chardev") == "charmonitor";  // as libvirt calls it
    if (const auto found = chardevs.find(get(mon, "chardev")); found != chardevs.end()) {
      if (auto monitor = socket_of(found->second)) options.monitors.push_back(std::move(*monitor));
    }
  }
  return options;
}

}  // namespace vitrine
