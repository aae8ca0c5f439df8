// What a QEMU command line says about its machine. Pure: words in, values out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// "-object memory-backend-*": RAM that someone may put into the machine.
struct MemoryBackendOption {
  std::string id;
  std::string kind;  ///< "ram", "memfd", "file", "shm", "epc"
  std::uint64_t size_bytes = 0;
  std::optional<bool> share;
  std::string path;  ///< of "file"
};

/// A QMP monitor as the command line describes it.
struct MonitorOption {
  bool server = true;            ///< false: QEMU itself connects; there is nothing to join
  std::string unix_path;         ///< as written: may be relative to QEMU's working directory
  std::string host, port;        ///< tcp
  std::optional<int> socket_fd;  ///< a listening socket handed in (libvirt)
  bool abstract = false;         ///< a name without a file
};

/// "-device pc-dimm" and kin.
struct DimmOption {
  std::string id, backend;
  std::optional<std::uint64_t> address;
};

struct QemuOptions {
  std::string name;          ///< "-name NAME" or "-name guest=NAME"; may be empty
  std::string uuid;          ///< "-uuid"; libvirt always says one
  std::string machine_type;  ///< "pc", "q35", "pc-q35-8.2"; empty: QEMU's default
  std::map<std::string, std::string, std::less<>> machine;  ///< the other properties of -machine
  std::string accelerator;  ///< "kvm", "tcg", "kvm:tcg"; empty: not said
  std::uint64_t memory_bytes = 128ULL << 20;
  bool memory_said = false;
  unsigned vcpus = 1;
  std::vector<MemoryBackendOption> backends;
  std::vector<std::string> numa_backends;  ///< "memdev" of each node, in node order
  std::vector<std::uint64_t> numa_sizes;   ///< "mem" of each node (before QEMU 5.1)
  std::string mem_path;                    ///< "-mem-path"
  std::vector<MonitorOption> monitors;     ///< QMP only
  std::vector<DimmOption> dimms;
  bool of_libvirt = false;    ///< libvirt started it, and keeps its monitor
  bool reads_config = false;  ///< "-readconfig": more is said elsewhere
  unsigned recognised = 0;    ///< how many options QEMU alone has

  [[nodiscard]] const MemoryBackendOption* backend(std::string_view id) const;
  /// The RAM backends in the order in which they make up the machine's RAM: the NUMA
  /// nodes', or the machine's one; empty if QEMU makes its own.
  [[nodiscard]] std::vector<const MemoryBackendOption*> ram_backends() const;
};

/// @param words  argv, the program's name first.
[[nodiscard]] QemuOptions parse_qemu_options(std::span<const std::string> words);

/// "4G", "1.5G", "0x1000", "512": QEMU's sizes; `unit` multiplies a bare number.
/// Nothing if it is no size or passes 2^63.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text,
                                                      std::uint64_t unit = 1);

}  // namespace vitrine
