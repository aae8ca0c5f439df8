// Bytes as messages of the agent's protocol, in both directions: refused, or the same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "probe/agent/message.h"
#include "probe/agent/plan.h"

namespace {

using namespace vitrine;
using namespace vitrine::probe;

template <class T>
void there_and_back(Bytes body) {
  const auto message = decode_message<T>(body);
  if (!message) return;
  const auto bytes = encode(*message);
  const auto again = decode_message<T>(bytes);
  if (!again || encode(*again) != bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 262144) return 0;
  // The first byte chooses the message, so that one corpus serves them all.
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto body = bytes.subspan(1);
  if (const auto head = decode_frame_head(body.first(std::min(body.size(), kFrameHead)));
      head && head->length > kMaxBody)
    std::abort();
  switch (data[0] % 12) {
    case 0:
      there_and_back<Welcome>(body);
      break;
    case 1:
      there_and_back<Loaded>(body);
      break;
    case 2:
      there_and_back<MapRequest>(body);
      break;
    case 3:
      there_and_back<MapReply>(body);
      break;
    case 4:
      there_and_back<Held>(body);
      break;
    case 5:
      there_and_back<Release>(body);
      break;
    case 6:
      there_and_back<AgentLosses>(body);
      break;
    case 7:
      there_and_back<AgentNote>(body);
      break;
    case 9:
      there_and_back<HeldWrite>(body);
      break;
    case 10:
      there_and_back<std::vector<AgentRam>>(body);
      break;
    case 11:
      there_and_back<std::vector<AgentAim>>(body);
      break;
    default: {
      const auto plan = decode_plan(body);
      if (!plan) break;
      const auto again = decode_plan(encode_plan(*plan));
      if (!again || *again != *plan) std::abort();
    }
  }
  return 0;
}
