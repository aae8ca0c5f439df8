// The remote protocol of gdb, as bytes and values. Pure: bytes in, values out.
//
// The far end is a QEMU process that a guest may have taken over: nothing it says is believed
// in size or form.
// Source: "GDB Remote Serial Protocol" in gdb's manual.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine {

/// "$text#sum", escaped.
[[nodiscard]] std::string gdb_frame(std::string_view text);

/// Takes bytes as they come and gives packets.
class GdbFrames {
 public:
  static constexpr std::size_t kLongest = 1024 * 1024;

  void feed(std::string_view bytes) { buffer_ += bytes; }
  /// The next packet's text, unescaped and its runs written out; nothing if none is whole yet.
  /// Acknowledgements and what stands between packets are passed over; a packet whose sum is wrong
  /// is dropped and counted.
  /// @returns too_large  a packet without end
  [[nodiscard]] Result<std::optional<std::string>> next();
  [[nodiscard]] std::size_t damaged() const { return damaged_; }

 private:
  std::string buffer_;
  std::size_t damaged_ = 0;
};

/// "T05thread:01;watch:ffff888000000000;"
struct GdbStop {
  enum Kind : std::uint8_t { stopped, exited } kind = stopped;
  int signal = 0;
  std::string thread;                    ///< "01"; empty if it is not said
  std::optional<std::uint64_t> watched;  ///< the address that was accessed
  enum Access : std::uint8_t { none, read, write, both } access = none;
};
/// T, S, W and X packets; nothing for others.
[[nodiscard]] std::optional<GdbStop> parse_gdb_stop(std::string_view text);

/// The ids in "m01,02" or "l"; at most 4096.
struct GdbThreads {
  std::vector<std::string> ids;
  bool last = false;
};
[[nodiscard]] std::optional<GdbThreads> parse_gdb_threads(std::string_view text);

/// "0123ab" as bytes, and back. Nothing if it is no such text.
[[nodiscard]] std::optional<std::vector<std::byte>> gdb_bytes(std::string_view hex);
[[nodiscard]] std::string gdb_hex(Bytes bytes);

/// A piece of a file that qXfer answers: "m..." more follows, "l..." the last.
struct GdbPiece {
  std::string_view text;
  bool last = false;
};
[[nodiscard]] std::optional<GdbPiece> parse_gdb_piece(std::string_view text);

}  // namespace vitrine
