// Lines of QEMU's trace events, as values. Pure: text in, values out.
//
// Guest bytes reach these lines only as numbers, but the log may hold anything else too.
// Source: trace-events files of QEMU: ui, hw/input, hw/char, block.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vitrine {

struct TraceLine {
  enum Kind : std::uint8_t {
    key,        ///< input_event_key_qcode, input_event_key_number
    scan_code,  ///< ps2_put_keycode
    serial_write,
    block_read,   ///< blk_co_preadv
    block_write,  ///< blk_co_pwritev
  } kind = key;
  std::string_view name;  ///< key: QEMU's name of it, "shift"; of the line's lifetime
  bool down = false;      ///< key
  std::uint64_t device =
      0;  ///< scan_code, block: the device, as a number that tells it from others
  std::uint64_t address = 0;  ///< serial_write: the port's register; block: byte offset
  std::uint64_t value = 0;    ///< scan_code, serial_write: the byte; block: bytes
};

/// Nothing for a line of another event or form. QEMU's own prefix ("PID@SECONDS:", or a date) is
/// passed over.
[[nodiscard]] std::optional<TraceLine> parse_trace_line(std::string_view line);

}  // namespace vitrine
