#include "format/orc.h"

#include <array>

namespace vitrine::format {
namespace {

/// The bits as an unsigned number. `rule` has room for 8 bytes from any bit of the layout on.
std::uint64_t take(const std::array<std::byte, kMaxOrcRule + 8>& rule, OrcBits bits) {
  std::uint64_t word = 0;
  std::memcpy(&word, rule.data() + bits.shift / 8, sizeof word);
  return word >> (bits.shift % 8) & ((std::uint64_t{1} << bits.width) - 1);
}

bool fits(OrcBits bits, const OrcLayout& layout) {
  return bits.width <= 32 && std::uint32_t{bits.shift} + bits.width <= layout.size * 8;
}

bool sound(const OrcLayout& layout) {
  for (const auto bits : {layout.sp_offset, layout.bp_offset}) {
    if (bits.width != 16) return false;
  }
  for (const auto bits : {layout.sp_base, layout.bp_base, layout.type}) {
    if (bits.width == 0 || bits.width > 8) return false;
  }
  for (const auto bits : {layout.sp_offset, layout.bp_offset, layout.sp_base, layout.bp_base,
                          layout.type, layout.signal, layout.end}) {
    if (!fits(bits, layout)) return false;
  }
  return layout.size != 0 && layout.size <= kMaxOrcRule;
}

/// A base by its number; nothing for one that no kernel has.
std::optional<OrcBase> base_of(std::uint64_t number, OrcNumbering numbering) {
  using enum OrcBase;
  constexpr std::optional<OrcBase> kFirst[] = {undefined, previous_sp, dx,         di, bp, sp, r10,
                                               r13,       bp_indirect, sp_indirect};
  constexpr std::optional<OrcBase> kSecond[] = {
      undefined, std::nullopt, dx, sp, bp, di, r10, r13, previous_sp, sp_indirect, bp_indirect};
  if (numbering == OrcNumbering::first) {
    return number < std::size(kFirst) ? kFirst[number] : std::nullopt;
  }
  return number < std::size(kSecond) ? kSecond[number] : std::nullopt;
}

}  // namespace

OrcNumbering find_orc_numbering(Bytes rules, const OrcLayout& layout) noexcept {
  constexpr std::int16_t kReturnAddress = 8;
  auto best = layout;
  std::size_t most = 0;
  for (const auto numbering : {OrcNumbering::first, OrcNumbering::second}) {
    auto tried = layout;
    tried.numbering = numbering;
    std::size_t fitting = 0;
    for (std::size_t at = 0;
         at < rules.size() && rules.size() - at >= layout.size && layout.size != 0;
         at += layout.size) {
      const auto rule = parse_orc(rules.subspan(at), tried);
      if (rule && rule->kind == OrcKind::call && rule->sp_base == OrcBase::sp &&
          rule->sp_offset == kReturnAddress) {
        ++fitting;
      }
    }
    if (fitting > most) {
      most = fitting;
      best = tried;
    }
  }
  return best.numbering;
}

Result<OrcRule> parse_orc(Bytes bytes, const OrcLayout& layout) noexcept {
  if (!sound(layout)) return fail(Errc::invalid, 0, "struct orc_entry");
  if (bytes.size() < layout.size) return fail(Errc::out_of_bounds, 0, "struct orc_entry");
  std::array<std::byte, kMaxOrcRule + 8> copy{};
  std::memcpy(copy.data(), bytes.data(), layout.size);

  OrcRule rule;
  rule.sp_offset = static_cast<std::int16_t>(take(copy, layout.sp_offset));
  rule.bp_offset = static_cast<std::int16_t>(take(copy, layout.bp_offset));
  const auto sp_base = base_of(take(copy, layout.sp_base), layout.numbering);
  const auto bp_base = base_of(take(copy, layout.bp_base), layout.numbering);
  if (!sp_base || !bp_base) return fail(Errc::malformed, 0, "orc_entry.sp_reg or bp_reg");
  rule.sp_base = *sp_base;
  rule.bp_base = *bp_base;

  const auto type = take(copy, layout.type);
  if (layout.end.width == 0) {
    if (type > static_cast<std::uint64_t>(OrcKind::interrupt_registers)) {
      return fail(Errc::malformed, 0, "orc_entry.type");
    }
    rule.kind = static_cast<OrcKind>(type);
    if (rule.kind > OrcKind::end && rule.sp_base == OrcBase::undefined) {
      return fail(Errc::malformed, 0, "orc_entry.sp_reg");
    }
  } else if (rule.sp_base == OrcBase::undefined) {
    rule.kind = take(copy, layout.end) != 0 ? OrcKind::end : OrcKind::undefined;
  } else {
    constexpr OrcKind kOlder[] = {OrcKind::call, OrcKind::registers, OrcKind::interrupt_registers};
    if (type >= std::size(kOlder)) return fail(Errc::malformed, 0, "orc_entry.type");
    rule.kind = kOlder[type];
  }
  rule.exact =
      layout.signal.width != 0 ? take(copy, layout.signal) != 0 : rule.kind >= OrcKind::registers;
  return rule;
}

std::optional<std::size_t> find_orc(Bytes places, std::uint64_t start,
                                    std::uint64_t address) noexcept {
  std::size_t low = 0, high = places.size() / sizeof(std::int32_t);
  while (low < high) {
    const auto middle = low + (high - low) / 2;
    std::int32_t relative;
    std::memcpy(&relative, places.data() + middle * sizeof relative, sizeof relative);
    const auto place = start + middle * sizeof relative + static_cast<std::uint64_t>(relative);
    if (place <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return std::nullopt;
  return low - 1;
}

}  // namespace vitrine::format
