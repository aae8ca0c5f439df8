#include "probe/agent/agent_rings.h"

#include <utility>

namespace vitrine::probe {

void AgentRings::read(RingMemory rings, std::shared_ptr<const vmipl::Program> program) {
  const std::lock_guard lock(mutex_);
  auto& added = all_.emplace_back();
  added.program = std::move(program);
  added.rings = std::move(rings);
  for (std::size_t i = 0; i < added.rings.count(); ++i) added.readers.emplace_back(added.rings, i);
}

bool AgentRings::drain(EventSink& sink) {
  const std::lock_guard lock(mutex_);
  bool any = false;
  for (auto& program : all_) {
    for (auto& reader : program.readers) {
      // A bounded share of each: a CPU that floods its ring must not starve the others.
      for (unsigned i = 0; i < 4096; ++i) {
        const auto took = reader.take(record_);
        if (took == RingReader::Took::record) {
          any = true;
          sink.records_of(*program.program, record_);
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
  // In which nothing was left of anyone: only the last one's can come to hold more.
  while (!any && all_.size() > 1) {
    for (const auto& reader : all_.front().readers) lost_before_ += reader.lost();
    all_.pop_front();
  }
  return any;
}

std::uint64_t AgentRings::lost() const {
  const std::lock_guard lock(mutex_);
  auto lost = lost_before_;
  for (const auto& program : all_) {
    for (const auto& reader : program.readers) lost += reader.lost();
  }
  return lost;
}

}  // namespace vitrine::probe
