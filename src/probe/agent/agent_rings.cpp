#include "probe/agent/agent_rings.h"

namespace vitrine::probe {

void AgentRings::read(RingMemory rings) {
  const std::lock_guard lock(mutex_);
  for (const auto& reader : old_readers_) lost_before_ += reader.lost();
  old_rings_ = std::move(rings_);
  old_readers_ = std::move(readers_);
  rings_ = std::move(rings);
  readers_.clear();
  for (std::size_t i = 0; i < rings_.count(); ++i) readers_.emplace_back(rings_, i);
}

bool AgentRings::drain(EventSink& sink) {
  const std::lock_guard lock(mutex_);
  bool any = false;
  for (auto* readers : {&old_readers_, &readers_}) {
    for (auto& reader : *readers) {
      // A bounded share of each: a CPU that floods its ring must not starve the others.
      for (unsigned i = 0; i < 4096; ++i) {
        const auto took = reader.take(record_);
        if (took == RingReader::Took::record) {
          any = true;
          sink.records(record_);
          continue;
        }
        if (took == RingReader::Took::broken && !broken_told_) {
          broken_told_ = true;
          sink.note({SourceNote::source_ended, std::nullopt,
                     "the agent's ring makes no sense: its records end here"});
        }
        break;
      }
    }
  }
  return any;
}

std::uint64_t AgentRings::lost() const {
  const std::lock_guard lock(mutex_);
  auto lost = lost_before_;
  for (const auto& reader : old_readers_) lost += reader.lost();
  for (const auto& reader : readers_) lost += reader.lost();
  return lost;
}

}  // namespace vitrine::probe
