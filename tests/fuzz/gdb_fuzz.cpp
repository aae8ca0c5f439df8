// What a gdbstub may say: any bytes as frames, stops, threads, registers, and their description.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "machine/gdb_packet.h"
#include "machine/gdb_registers.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The same packets, in however many pieces they come.
  GdbFrames whole, pieces;
  whole.feed(text);
  std::string all, found;
  for (auto next = whole.next(); next && *next; next = whole.next()) all += **next + '\n';
  for (std::size_t at = 0; at < size;) {
    const auto take = std::min<std::size_t>(size - at, 1 + at % 5);
    pieces.feed(text.substr(at, take));
    for (auto next = pieces.next(); next && *next; next = pieces.next()) found += **next + '\n';
    at += take;
  }
  if (all != found) std::abort();
  // What we frame comes back.
  GdbFrames own;
  own.feed(gdb_frame(text));
  if (const auto back = own.next(); !back || (size < GdbFrames::kLongest / 2 && *back != text))
    std::abort();

  (void)parse_gdb_stop(text);
  if (const auto threads = parse_gdb_threads(text); threads && threads->ids.size() > 4096)
    std::abort();
  (void)parse_gdb_piece(text);
  if (const auto bytes = gdb_bytes(text); bytes && gdb_hex(*bytes).size() != size) std::abort();
  const auto includes = GdbRegisters::includes(text);
  const auto half = size / 2;
  if (const auto layout = GdbRegisters::parse(
          {std::string(text.substr(0, half)), std::string(text.substr(half))})) {
    (void)layout->decode(Bytes(reinterpret_cast<const std::byte*>(data), size));
    if (!layout->find("rip")) std::abort();
  }
  return 0;
}
