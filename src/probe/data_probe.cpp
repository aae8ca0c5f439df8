#include "probe/data_probe.h"

#include "vmipl/catalogue.h"

namespace vitrine::probe {
namespace {

enum class Kind { none, reg, memory, memory_at };

Kind kind_of(const vmipl::Site& site) noexcept {
  const auto name = vmipl::probes()[site.probe].name;
  if (site.is_map_print) return Kind::none;
  if (name == "ReadRegister") return Kind::reg;
  if (name == "ReadMemory") return Kind::memory;
  if (name == "ReadMemoryAt") return Kind::memory_at;
  return Kind::none;
}

ValueView number(std::optional<std::uint64_t> value) {
  return value ? ValueView::of(*value) : ValueView::missing();
}

ValueView memory(const ValueView& address, const ValueView& size, Environment& environment,
                 std::span<char> room) noexcept {
  if (!address.there || !size.there || size.number > room.size() || size.number > kMaxDataBytes)
    return ValueView::missing(true);
  const auto into = room.first(static_cast<std::size_t>(size.number));
  if (!environment.read(address.number, std::as_writable_bytes(into)))
    return ValueView::missing(true);
  return ValueView::of(std::string_view(into.data(), into.size()));
}

}  // namespace

bool is_local_data(const vmipl::Site& site) noexcept { return kind_of(site) != Kind::none; }

std::size_t read_data(const vmipl::Site& site, std::span<const ValueView> operands,
                      Environment& environment, std::span<char> room,
                      std::span<ValueView> values) noexcept {
  if (values.size() < kMaxDataValues) return 0;
  switch (kind_of(site)) {
    case Kind::none:
      return 0;
    case Kind::reg: {
      const auto index = static_cast<unsigned>(site.numbers[0]);
      const auto kind = vmipl::registers()[index].kind;
      if (kind != vmipl::RegisterInfo::segment && kind != vmipl::RegisterInfo::table) {
        values[0] = number(environment.reg(index));
        return 1;
      }
      const auto parts = environment.parts(index);
      const auto part = [&](auto value) {
        return parts ? ValueView::of(std::uint64_t{value}) : ValueView::missing();
      };
      std::size_t count = 0;
      if (kind == vmipl::RegisterInfo::segment)
        values[count++] = part(parts ? parts->selector : 0U);
      values[count++] = part(parts ? parts->base : 0U);
      values[count++] = part(parts ? parts->limit : 0U);
      if (kind == vmipl::RegisterInfo::segment)
        values[count++] = part(parts ? parts->attributes : 0U);
      return count;
    }
    case Kind::memory:
      values[0] = memory(operands[0], operands[1], environment, room);
      return 1;
    case Kind::memory_at: {
      // Operands: size, offset.
      const auto base = environment.reg(static_cast<unsigned>(site.numbers[0]));
      const auto address = base && operands[1].there ? ValueView::of(*base + operands[1].number)
                                                     : ValueView::missing();
      values[0] = address;
      values[1] = memory(address, operands[0], environment, room);
      return 2;
    }
  }
  return 0;
}

}  // namespace vitrine::probe
