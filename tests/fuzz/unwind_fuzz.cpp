// A stack, its rules and a CPU's registers of any bytes: every walk ends, within its bounds,
// and a walk that did not come to its end says why.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "linux/stack/unwind.h"

using namespace vitrine;

namespace {

constexpr std::uint64_t kText = 0xffff'ffff'8100'0000, kTextSize = 0x1000;
constexpr std::uint64_t kTables = 0xffff'ffff'8200'0000;  // places, rules, stacks follow
constexpr std::uint64_t kPlaces = 64, kRuleSize = 6;

class Forged final : public VirtualMemory {
 public:
  explicit Forged(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] Result<void> read(Gva from, MutableBytes into) const override {
    const auto some = slice(bytes_, from.value - kTables, into.size());
    if (!some) return fail(Errc::not_present, from.value, "forged");
    if (!into.empty()) std::memcpy(into.data(), some->data(), into.size());
    return {};
  }

 private:
  Bytes bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kHead = 64;
  if (size < kHead) return 0;
  const Bytes all(reinterpret_cast<const std::byte*>(data), size);
  const Forged memory(all.subspan(kHead));
  format::OrcLayout layout{6, {0, 16}, {16, 16}, {32, 4}, {36, 4}, {40, 3}, {43, 1}, {}, {}};
  if ((data[0] & 1) != 0)
    layout = {6, {0, 16}, {16, 16}, {32, 4}, {36, 4}, {40, 2}, {}, {42, 1}, {}};
  if ((data[0] & 2) != 0) layout.numbering = format::OrcNumbering::second;

  linux::OrcTable table;
  table.code.push_back({Gva{kText}, kTextSize});
  table.places = Gva{kTables};
  table.rules = Gva{kTables + kPlaces * 4};
  table.count = kPlaces;
  const std::uint64_t stacks = kTables + kPlaces * (4 + kRuleSize);
  const linux::StackArea areas[] = {{linux::StackKind::task, Gva{stacks}, 0x800},
                                    {linux::StackKind::interrupt, Gva{stacks + 0x800}, 0x400},
                                    {linux::StackKind::nmi, Gva{stacks + 0xc00}, 0x400}};
  x86::Registers from;
  for (std::size_t i = 0; i < from.gpr.size() && 8 + i * 2 + 2 <= kHead; ++i) {
    from.gpr[i] = stacks + *load<std::uint16_t>(all, 8 + i * 2) % 0x1100;
  }
  from.rip = kText + *load<std::uint16_t>(all, 2) % (kTextSize + 16);
  std::optional<linux::OrcTables> orc;
  if ((data[0] & 4) == 0) orc.emplace(memory, layout, std::vector{table});
  const linux::Unwinder unwinder(memory, std::move(orc), {});
  const auto stack = unwinder.walk(from, Gva{}, areas);
  if (stack.frames.empty() || stack.frames.size() > linux::Unwinder::kMaxFrames) std::abort();
  if (stack.user && !stack.broken.empty()) std::abort();
  // On one stack, frames only go up.
  for (std::size_t i = 1; i < stack.frames.size(); ++i) {
    const auto &above = stack.frames[i], &below = stack.frames[i - 1];
    if (above.stack == below.stack && above.stack != linux::StackKind::none && above.sp <= below.sp)
      std::abort();
  }
  return 0;
}
