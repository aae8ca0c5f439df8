#include "probe/agent/counters.h"

#include <algorithm>
#include <atomic>

namespace vitrine::probe {

using vmipl::Opcode;

std::optional<unsigned> counted_map(const vmipl::Program& program, std::uint32_t probe) {
  const auto& block = program.probes[probe];
  std::optional<unsigned> map;
  for (auto at = block.entry; at < block.end; ++at) {
    const auto& instruction = program.code[at];
    switch (instruction.op) {
      case Opcode::halt:
        break;
      case Opcode::number:
        if (program.numbers[static_cast<std::size_t>(instruction.imm)] != 1) return std::nullopt;
        break;
      case Opcode::map_update:
        if (map || instruction.c != 0 ||
            program.maps[instruction.b].aggregate != vmipl::Aggregate::count)
          return std::nullopt;
        map = instruction.b;
        break;
      default:
        return std::nullopt;
    }
  }
  if (!map) return std::nullopt;
  for (const auto& instruction : program.code) {
    const bool other = instruction.op == Opcode::map_get ||
                       instruction.op == Opcode::map_get_text ||
                       instruction.op == Opcode::map_set || instruction.op == Opcode::map_add ||
                       instruction.op == Opcode::map_delete ||
                       instruction.op == Opcode::map_clear || instruction.op == Opcode::map_length;
    if (other && instruction.b == *map) return std::nullopt;
  }
  return map;
}

Counters::~Counters() {
  for (const auto& counter : counters_) api_->free_scoreboard(counter.board);
}

PluginCounter Counters::counter(unsigned map, const PluginApi& api) {
  api_ = &api;
  const std::lock_guard lock(mutex_);
  for (const auto& known : counters_) {
    if (known.map == map) return {known.board, 0};
  }
  counters_.push_back({map, api.new_scoreboard(sizeof(std::uint64_t)), {}});
  return {counters_.back().board, 0};
}

LocalMaps& Counters::folded(unsigned map) noexcept {
  const std::lock_guard lock(mutex_);
  for (auto& counter : counters_) {
    if (counter.map != map) continue;
    const auto cpus = static_cast<unsigned>(std::max(api_->vcpu_count(), 0));
    if (counter.seen.size() < cpus) counter.seen.resize(cpus);
    std::uint64_t more = 0;
    for (unsigned i = 0; i < cpus; ++i) {
      auto* word = static_cast<std::uint64_t*>(api_->scoreboard_entry(counter.board, i));
      const auto now = std::atomic_ref<std::uint64_t>(*word).load(std::memory_order_relaxed);
      more += now - counter.seen[i];
      counter.seen[i] = now;
    }
    maps_.count_many(map, {}, 1, more);
    total_ += more;
  }
  return maps_;
}

std::uint64_t Counters::total() {
  std::vector<unsigned> maps;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& counter : counters_) maps.push_back(counter.map);
  }
  for (const auto map : maps) (void)folded(map);
  const std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace vitrine::probe
