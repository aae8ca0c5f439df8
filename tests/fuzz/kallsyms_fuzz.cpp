// kallsyms: any bytes. Half of the inputs are patches upon tables that are right, since
// random bytes never are.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "format/kallsyms.h"
#include "support/kallsyms_builder.h"

namespace {

using namespace vitrine;

void parse(Bytes bytes, std::uint64_t tokens) {
  std::uint64_t work = format::kKallsymsWork;
  const auto layout = format::parse_kallsyms(bytes, tokens, work);
  if (!layout) return;
  std::uint64_t sum = 0;
  (void)format::for_each_symbol(bytes, *layout, 0x1000,
                                [&](std::uint64_t address, char type, std::string_view name) {
                                  sum += address + static_cast<unsigned char>(type) + name.size();
                                });
  if (sum == 0x1234'5678'9abc'def0) __builtin_trap();
}

const test::BuiltKallsyms& example(unsigned which) {
  using test::KallsymsOrder;
  using enum format::KallsymsAddresses;
  static const auto make = [](KallsymsOrder order, format::KallsymsAddresses form) {
    return test::build_kallsyms(test::make_symbols(2'100, 0xffffffff81000000), order, form,
                                0xffffffff81000000, 0xffffffff82000000);
  };
  static const test::BuiltKallsyms examples[] = {
      make(KallsymsOrder::to_6_3, based_percpu), make(KallsymsOrder::from_6_4, based),
      make(KallsymsOrder::from_7, self_relative), make(KallsymsOrder::to_6_3, absolute)};
  return examples[which % 4];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  if (size < 2) return 0;
  if ((data[0] & 0x80) != 0) {
    for (const auto at : format::find_token_tables(input)) parse(input, at);
    return 0;
  }
  const auto& built = example(data[0]);
  std::vector<std::byte> bytes = built.bytes;
  // Patches: where (4 bytes), what (4 bytes).
  for (std::size_t at = 1; at + 8 <= size; at += 8) {
    std::uint32_t where;
    std::memcpy(&where, data + at, 4);
    where %= static_cast<std::uint32_t>(bytes.size() - 4);
    std::memcpy(bytes.data() + where, data + at + 4, 4);
  }
  for (const auto at : format::find_token_tables(bytes)) parse(bytes, at);
  parse(bytes, built.tokens);
  return 0;
}
