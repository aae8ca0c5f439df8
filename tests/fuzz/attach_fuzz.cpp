// Attach to a kernel whose memory an expert forged: patches upon the lab's image and
// page tables, undone after each run.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "linux/kernel.h"
#include "support/lab.h"

namespace {

using namespace vitrine;

test::Lab& lab(unsigned which) {
  static test::Lab labs[] = {
      test::Lab({.seed = 1, .symbols = 2'100}),
      test::Lab({.seed = 2,
                 .levels = 5,
                 .order = test::KallsymsOrder::from_7,
                 .form = format::KallsymsAddresses::self_relative,
                 .symbols = 2'100}),
  };
  return labs[which % 2];
}

struct Undo {
  Gpa at;
  std::uint64_t was;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  auto& machine = lab(data[0]);
  std::vector<Undo> undo;
  // Patches of 12 bytes: where, and 8 bytes of what. The upper half of the places are
  // page tables, the lower half the image.
  for (std::size_t at = 1; at + 12 <= size; at += 12) {
    std::uint32_t where;
    std::uint64_t what;
    std::memcpy(&where, data + at, 4);
    std::memcpy(&what, data + at + 4, 8);
    const Gpa place = (where >> 31) != 0
                          ? Gpa{40 * kMiB + where % (128 * kKiB)}
                          : machine.text_physical() + where % (machine.image_size() - 8);
    undo.push_back({place, *machine.forge().load<std::uint64_t>(place)});
    machine.forge().put(place, what);
  }
  if (const auto kernel = linux::Kernel::attach(machine, {})) {
    (void)(*kernel)->module_symbols();
    (void)(*kernel)->still_there();
  }
  while (!undo.empty()) {
    machine.forge().put(undo.back().at, undo.back().was);
    undo.pop_back();
  }
  return 0;
}
