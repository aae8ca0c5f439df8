// Records out of a hostile QEMU: decode, print as text and as JSON, and encode again. The
// first byte chooses the site; layouts of the moment are loaded from the rest as well.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "probe/moment_layout.h"
#include "probe/record.h"
#include "probe/record_words.h"
#include "vmipl/catalogue.h"
#include "vmipl/check.h"

namespace {

using namespace vitrine;

const vmipl::Program& program() {
  static const vmipl::Program made = [] {
    const vmipl::Source source(
        "fuzz.vmi",
        "Syscall { Print(\"%d %s %x %t\\n\", arg0, process.name, arg1, now) "
        "Report(\"s\", high, \"%s %s\", kstack, process.path) ReadRegister(CS, #a) "
        "ReadRegister(RAX, #a) ReadRegister(GDTR, /x) ReadMemory(0x1000, 64, #a) ReadMemoryAt(RSP, "
        "16, 8, #a) "
        "ProcessList(PID, NAME, PATH, PGDP, #a) ReadVMCS(VM_EXIT_REASON, #a) }");
    vmipl::Diagnostics diagnostics;
    auto checked = vmipl::check(source, {.allow = {"all"}, .build = true}, diagnostics);
    if (!checked.program) std::abort();
    return std::move(*checked.program);
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  (void)probe::load_moment_layout(bytes);
  auto record = probe::decode(bytes);
  if (!record) return 0;
  std::vector<probe::ValueView> views;
  for (const auto& value : record->values) views.push_back(value.view());
  std::vector<std::byte> again(probe::kMaxRecord);
  const auto used = probe::encode(record->head, views, again);
  if (used != 0) {
    const auto back = probe::decode(Bytes(again).first(used));
    if (!back || !(*back == *record)) std::abort();
  }
  const auto& code = program();
  record->head.site = static_cast<std::uint16_t>(data[0] % code.sites.size());
  record->head.probe = 0;
  const auto rules = probe::complete({});
  (void)probe::record_text(code, *record, (data[0] & 0x80) != 0, rules);
  (void)probe::record_json(code, *record, rules);
  return 0;
}
