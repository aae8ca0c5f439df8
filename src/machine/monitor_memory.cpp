#include "machine/monitor_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace vitrine {
namespace {

constexpr std::uint64_t kPiece = 16 * 1024;  // bytes a command: about 100 KiB of text

}  // namespace

bool parse_xp(std::string_view text, Gpa from, MutableBytes into) {
  std::size_t done = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    if (line.empty()) continue;
    // "00000000000fffc0: 0xfa 0xed 0x66 ..."
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return false;
    std::uint64_t address = 0;
    const auto [stop, error] = std::from_chars(line.data(), line.data() + colon, address, 16);
    if (error != std::errc{} || stop != line.data() + colon || Gpa{address} != from + done)
      return false;
    line.remove_prefix(colon + 1);
    while (!line.empty()) {
      if (!line.starts_with(" 0x") || line.size() < 5 || done == into.size()) return false;
      unsigned value = 0;
      const auto [last, bad] = std::from_chars(line.data() + 3, line.data() + 5, value, 16);
      if (bad != std::errc{} || last != line.data() + 5) return false;
      into[done++] = static_cast<std::byte>(value);
      line.remove_prefix(5);
    }
  }
  return done == into.size();
}

Outcome<std::string> MonitorMemory::human(std::string_view line) const {
  const std::scoped_lock lock(mutex_);
  return qmp_->human(line);
}

Result<void> MonitorMemory::fetch(std::span<const Want> wants) const {
  std::vector<std::string> commands;
  for (const auto& want : wants) {
    commands.push_back(fmt::format("xp /{}xb {:#x}", want.into.size(), want.from.value));
  }
  const std::scoped_lock lock(mutex_);
  const auto answers = qmp_->human(commands);
  if (!answers) {
    const auto code = answers.error().code;
    return fail(code == Errc::timeout ? Errc::timeout : Errc::vanished, wants.front().from.value,
                "the monitor");
  }
  for (std::size_t i = 0; i < wants.size(); ++i) {
    if (!parse_xp((*answers)[i], wants[i].from, wants[i].into))
      return fail(Errc::io, wants[i].from.value, "xp");
  }
  return {};
}

Result<void> MonitorMemory::read(Gpa from, MutableBytes into) const {
  std::vector<Want> wants;
  TRY(map_.for_each_piece(from, into.size(),
                          [&](const MapSegment&, std::uint64_t, std::uint64_t done,
                              std::uint64_t size) -> Result<void> {
                            for (std::uint64_t at = 0; at < size; at += kPiece) {
                              const auto take = std::min(kPiece, size - at);
                              wants.push_back({from + done + at, into.subspan(done + at, take)});
                            }
                            return {};
                          }));
  return wants.empty() ? Result<void>{} : fetch(wants);
}

std::size_t MonitorMemory::read_batch(std::span<BatchRead> batch) const {
  std::vector<Want> wants;
  for (auto& one : batch) {
    const auto* segment = map_.find(one.from);
    one.ok = segment != nullptr && one.into.size() <= segment->range.end() - one.from &&
             one.into.size() <= kPiece;
    if (one.ok && !one.into.empty()) wants.push_back({one.from, one.into});
  }
  const bool all = wants.empty() || fetch(wants).has_value();
  for (auto& one : batch) {
    // Those that cross ranges, or all if the trip as a whole failed: each on its own.
    if (!all || !one.ok) one.ok = read(one.from, one.into).has_value();
  }
  return static_cast<std::size_t>(std::ranges::count_if(batch, &BatchRead::ok));
}

}  // namespace vitrine
