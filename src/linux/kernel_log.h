// The kernel's log: the printk ring buffer, record by record.
//
// Linux 5.10 replaced the old log buffer by printk_ringbuffer (commits 896fbe20b4e2,
// cfe2790b163a, 74caba7f2a06), whose layout has grown since but not changed: a ring of
// descriptors, one of infos beside it, and one of text blocks. What is read here is what
// /dev/kmsg gives a reader that opens it now.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/problem.h"
#include "memory/virtual_memory.h"

namespace vitrine::linux {

class Kernel;
class TypeCatalogue;

/// Where this kernel keeps what is read; offsets in bytes.
struct LogLayout {
  std::uint64_t ring_size = 0;  ///< of struct printk_ringbuffer
  std::uint32_t count_bits = 0, descs = 0, infos = 0, head_id = 0, tail_id = 0;  ///< in it
  std::uint32_t size_bits = 0, data = 0;  ///< in it, of the text ring
  std::uint64_t desc_size = 0;
  std::uint32_t state_var = 0, begin = 0, next = 0;
  std::uint64_t info_size = 0;
  std::uint32_t seq = 0, ts_nsec = 0, text_len = 0, facility = 0, flags_level = 0, caller_id = 0;
  std::uint32_t subsystem = 0, device = 0;
  std::uint64_t subsystem_size = 0, device_size = 0;
  /// With CONFIG_PRINTK_EXECUTION_CTX (7.0).
  std::optional<std::uint32_t> caller_id2, comm;
  std::uint64_t comm_size = 0;

  /// @returns not_found   a structure or member is missing; the message names it
  /// @returns implausible the structures are larger than any kernel's
  [[nodiscard]] static Outcome<LogLayout> find(const TypeCatalogue& types);
  /// For kernels without BTF: from the text that they keep for crash dumps (vmcoreinfo_data).
  [[nodiscard]] static Outcome<LogLayout> parse(std::string_view vmcoreinfo);
  /// find(), or parse() of the guest's own vmcoreinfo.
  [[nodiscard]] static Outcome<LogLayout> of(const Kernel& kernel);

 private:
  [[nodiscard]] bool plausible() const;
};

struct LogRecord {
  std::uint64_t sequence = 0;
  std::uint64_t time_ns = 0;             ///< of local_clock(): about the time since boot
  std::uint8_t level = 0;                ///< 0 (emerg) to 7 (debug)
  std::uint8_t facility = 0;             ///< 0: the kernel; others come through /dev/kmsg
  bool continued = false;                ///< a later part of a line (LOG_CONT): 'c' in /dev/kmsg
  std::uint32_t caller = 0;              ///< a thread's pid, or with bit 31 a CPU's number
  std::optional<std::uint32_t> caller2;  ///< the other of the two
  std::optional<std::string> comm;       ///< the thread's name
  std::string text;  ///< as printed, its bytes unchanged; may have several lines
  std::string subsystem, device;
  const char* doubt = "";  ///< why it is not quite to be believed
};

struct LogReading {
  std::size_t retries = 0;     ///< records that changed while they were read
  std::size_t lost = 0;        ///< their text is gone, or they were overwritten meanwhile
  std::size_t unfinished = 0;  ///< being written: readers do not see them yet
  std::size_t unreadable = 0;
  std::optional<Error> unreadable_why;  ///< of the first of them
  bool truncated = false;
};

/// Calls `visit` for each record, oldest first, until it answers false.
/// @param ring  the struct printk_ringbuffer
/// @returns malformed  sizes that no ring buffer has. Others as VirtualMemory::read, if the
///   ring itself cannot be read; a record that cannot be is passed over and counted.
/// Cost: about ten page-sized reads for 64 records; at most 4 million records.
/// Source: kernel/printk/printk_ringbuffer.c: desc_read(), get_data(), prb_read().
[[nodiscard]] Result<LogReading> read_log(const VirtualMemory& memory, const LogLayout& layout,
                                          Gva ring,
                                          const std::function<bool(const LogRecord&)>& visit);

/// "emerg" ... "debug"; "kern", "user" ... or a number. Names as `dmesg -x` prints them.
[[nodiscard]] std::string log_level_name(unsigned level);
[[nodiscard]] std::string log_facility_name(unsigned facility);

}  // namespace vitrine::linux
