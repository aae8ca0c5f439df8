// What QEMU writes for a tap: any bytes as lines of its trace, a list of cards, a pcap stream,
// names of ours.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "format/pcap.h"
#include "machine/key_text.h"
#include "machine/log_marker.h"
#include "machine/monitor.h"
#include "machine/network_cards.h"
#include "machine/trace_line.h"

using namespace vitrine;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  KeyText keys;
  for (std::size_t at = 0; at < size;) {
    const auto end = std::min(text.find('\n', at), size);
    if (const auto line = parse_trace_line(text.substr(at, end - at));
        line && line->kind == TraceLine::key) {
      for (const char c : keys.key(line->name, line->down)) {
        if (static_cast<unsigned char>(c) >= 0x7f) std::abort();  // names are plain
      }
    }
    at = end + 1;
  }
  if (parse_network_cards(text).size() > 4096) std::abort();
  if (const auto named = OwnerMark::parse(text)) {
    if (const auto marker = LogMarker::parse(named->what); marker && marker->name() != named->what)
      std::abort();
  }
  // The same packets, in however many pieces the stream comes.
  format::PcapStream whole, pieces;
  whole.feed(Bytes(reinterpret_cast<const std::byte*>(data), size));
  std::size_t packets = 0, found = 0;
  for (auto next = whole.next(); next && *next; next = whole.next()) {
    ++packets;
    if ((*next)->bytes.size() > (*next)->length) std::abort();
  }
  for (std::size_t at = 0; at < size;) {
    const auto take = std::min<std::size_t>(size - at, 1 + at % 7);
    pieces.feed(Bytes(reinterpret_cast<const std::byte*>(data) + at, take));
    for (auto next = pieces.next(); next && *next; next = pieces.next()) ++found;
    at += take;
  }
  if (packets != found) std::abort();
  return 0;
}
