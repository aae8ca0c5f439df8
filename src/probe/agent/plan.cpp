#include "probe/agent/plan.h"

#include <algorithm>

#include "probe/agent/value_wire.h"

namespace vitrine::probe {

std::vector<std::byte> encode_plan(const AgentPlan& plan) {
  WireWriter out;
  out.put_bytes(plan.program);
  out.put(static_cast<std::uint32_t>(plan.probes.size()));
  for (const auto& probe : plan.probes) {
    out.put(probe.probe);
    out.put(static_cast<std::uint8_t>(probe.event));
    out.put(static_cast<std::uint8_t>(probe.held));
    out.put(probe.param);
    out.put_list(probe.sites);
    out.put_list(probe.ranges);
    out.put_list(probe.offsets);
    out.put(probe.native);
    out.put(probe.compat);
  }
  out.put_list(plan.ram);
  out.put(plan.kernel.root);
  out.put(plan.kernel.levels);
  out.put(static_cast<std::uint8_t>(plan.kernel.isolated));
  out.put_list(plan.kernel.ends);
  out.put_bytes(plan.moments);
  out.put_list(plan.tables);
  out.put(plan.held_limit_ms);
  out.put(plan.ring_bytes);
  out.put(plan.rate_limit);
  out.put(static_cast<std::uint32_t>(plan.maps.size()));
  for (const auto& map : plan.maps) {
    out.put(map.lost);
    put_rows(out, map.rows);
  }
  return std::move(out).take();
}

bool plausible(const std::vector<AgentRam>& ram) {
  return std::all_of(ram.begin(), ram.end(), [](const AgentRam& one) {
    return one.size != 0 && one.gpa + one.size >= one.gpa && one.hva + one.size >= one.hva;
  });
}

bool plausible(const std::vector<AgentRange>& ranges) {
  return std::ranges::all_of(ranges, [](const AgentRange& range) {
    return range.size != 0 && range.start + range.size - 1 >= range.start;
  });
}

Result<AgentPlan> decode_plan(Bytes bytes) {
  WireReader in(bytes);
  AgentPlan plan;
  const auto program = in.get_bytes();
  plan.program.assign(program.begin(), program.end());
  const auto count = in.get_count(4 + 1 + 1 + 8 + 3 * 4 + 2 * sizeof(CallSet));
  if (count > kMaxAgentProbes) return fail(Errc::malformed, count, "agent plan: too many probes");
  std::size_t sites = 0;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    AgentProbe probe;
    probe.probe = in.get<std::uint32_t>();
    const auto event = in.get<std::uint8_t>();
    if (event >= static_cast<std::uint8_t>(AgentEvent::count_))
      return fail(Errc::malformed, event, "agent plan: no such event");
    probe.event = static_cast<AgentEvent>(event);
    probe.held = in.get<std::uint8_t>() != 0;
    probe.param = in.get<std::uint64_t>();
    probe.sites = in.get_list<AgentSite>();
    probe.ranges = in.get_list<AgentRange>();
    probe.offsets = in.get_list<std::uint64_t>();
    probe.native = in.get<CallSet>();
    probe.compat = in.get<CallSet>();
    sites += probe.sites.size() + probe.ranges.size();
    if (sites > kMaxAgentSites) return fail(Errc::malformed, sites, "agent plan: too many sites");
    if (!plausible(probe.ranges)) return fail(Errc::malformed, i, "agent plan: no such range");
    plan.probes.push_back(std::move(probe));
  }
  plan.ram = in.get_list<AgentRam>();
  plan.kernel.root = in.get<std::uint64_t>();
  plan.kernel.levels = in.get<std::uint8_t>();
  plan.kernel.isolated = in.get<std::uint8_t>() != 0;
  plan.kernel.ends = in.get_list<std::uint64_t>();
  const auto moments = in.get_bytes();
  plan.moments.assign(moments.begin(), moments.end());
  plan.tables = in.get_list<std::uint64_t>();
  plan.held_limit_ms = in.get<std::uint32_t>();
  plan.ring_bytes = in.get<std::uint32_t>();
  plan.rate_limit = in.get<std::uint64_t>();
  const auto maps = in.get_count(8 + 4);
  for (std::uint32_t i = 0; i < maps && in.ok(); ++i) {
    SavedMap map;
    map.lost = in.get<std::uint64_t>();
    map.rows = get_rows(in);
    plan.maps.push_back(std::move(map));
  }
  if (!in.done()) return fail(Errc::malformed, 0, "agent plan: cut short, or too long");
  if (plan.ring_bytes < 4096 || plan.ring_bytes > (256U << 20) ||
      (plan.ring_bytes & (plan.ring_bytes - 1)) != 0)
    return fail(Errc::malformed, plan.ring_bytes, "agent plan: ring size");
  if (plan.kernel.levels != 4 && plan.kernel.levels != 5)
    return fail(Errc::malformed, plan.kernel.levels, "agent plan: page table levels");
  if (!plausible(plan.ram)) {
    return fail(Errc::malformed, 0, "agent plan: no such RAM");
  }
  return plan;
}

}  // namespace vitrine::probe
