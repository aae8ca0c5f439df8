#include "linux/map_check.h"

#include <fmt/core.h>

#include "format/e820.h"
#include "linux/walk/walk.h"
#include "machine/memory_layout.h"

namespace vitrine::linux {
namespace {

constexpr std::uint32_t kMostEntries = 3200;  // E820_MAX_ENTRIES, with the EFI ones
constexpr std::size_t kEntrySize = 20;

Result<std::vector<format::E820Entry>> read_table(const Kernel& kernel) {
  const auto pointer = kernel.symbols().find("e820_table_firmware");
  if (!pointer) return fail(Errc::not_found, 0, "e820_table_firmware");
  const auto table = TRY(kernel.memory().load<Gva>(*pointer));
  if (!is_kernel_pointer(table, 1))
    return fail(Errc::malformed, table.value, "e820_table_firmware");
  const auto count = TRY(kernel.memory().load<std::uint32_t>(table));
  if (count == 0 || count > kMostEntries)
    return fail(Errc::implausible, table.value, "e820_table.nr_entries");
  std::vector<std::byte> bytes(count * kEntrySize);
  TRY(kernel.memory().read(table + sizeof count, bytes));
  auto entries = format::parse_e820(bytes, 0, count);
  if (!entries) return fail(Errc::malformed, table.value, "e820_table.entries");
  return std::move(*entries);
}

}  // namespace

void check_inferred_map(const Kernel& kernel, Health& health) {
  const auto& machine = kernel.machine();
  if (machine.map_source() != MapSource::inferred) return;
  const auto table = read_table(kernel);
  if (!table) {
    health.warnings.push_back(fmt::format(
        "the memory map is inferred, and the kernel's own account of its RAM cannot be read: {}",
        describe(table.error())));
    return;
  }
  const auto agreement = compare_map(machine.memory().ram(), *table);
  if (agreement.agrees) {
    health.checks.push_back(
        {"inferred map", Health::Verdict::passed, "the kernel's own e820 table says the same"});
    return;
  }
  health.checks.push_back({"inferred map", Health::Verdict::failed, agreement.words});
  std::string hint = "what lies beyond is read wrongly or not at all";
  if (machine.layouts().size() > 1) hint += "; its RAM can be read in other ways, see the notes";
  health.warnings.push_back(
      fmt::format("the inferred memory map is not the kernel's (e820_table_firmware): {}; {}",
                  agreement.words, hint));
}

}  // namespace vitrine::linux
