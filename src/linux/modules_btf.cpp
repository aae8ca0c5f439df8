// The BTF of modules: types that are not in the kernel's own.
#include <fmt/core.h>

#include <algorithm>

#include "linux/kernel.h"
#include "linux/modules.h"
#include "linux/modules_offsets.h"
#include "linux/type_catalogue.h"
#include "linux/walk/list.h"

namespace vitrine::linux {
namespace {

constexpr std::uint64_t kMaxBlob = 16 * kMiB;
constexpr std::uint64_t kMaxBlobs = 64 * kMiB;  // of all modules together
constexpr std::uint32_t kBtfMagic = 0xeb9f;

}  // namespace

Outcome<ModuleBtfList> read_module_btf(const Kernel& kernel) {
  if (!kernel.has_types()) {
    return std::unexpected(
        Problem(Errc::unsupported, "modules' types build upon the kernel's, and it has none"));
  }
  ModuleBtfList result;
  const auto head = kernel.symbols().find("btf_modules");
  Offsets of(kernel.types());
  if (!head || !of.find("btf_module.btf")) return result;
  const auto list = of.need("btf_module.list"), module = of.need("btf_module.module"),
             btf = of.need("btf_module.btf"), data = of.need("btf.data"),
             data_size = of.need("btf.data_size"), module_name = of.need("module.name");
  const auto name_size = of.size("module.name");
  if (of.missing()) return std::unexpected(*of.missing());

  const auto& memory = kernel.memory();
  std::uint64_t total = 0;
  const auto read = [&](Gva entry) -> Result<void> {
    const Gva owner{TRY(memory.load<std::uint64_t>(entry + module))};
    ModuleBtf one;
    one.module = TRY(memory.load_string(owner + module_name, name_size));
    const Gva parsed{TRY(memory.load<std::uint64_t>(entry + btf))};
    const Gva from{TRY(memory.load<std::uint64_t>(parsed + data))};
    const std::uint64_t size = TRY(memory.load<std::uint32_t>(parsed + data_size));
    if (size > kMaxBlob || (total += size) > kMaxBlobs)
      return fail(Errc::too_large, parsed.value, "btf.data_size");
    one.blob.resize(size);
    TRY(memory.read(from, one.blob));
    if (load<std::uint16_t>(one.blob, 0) != kBtfMagic)
      return fail(Errc::malformed, from.value, "BTF magic");
    result.modules.push_back(std::move(one));
    return {};
  };
  const auto walked = walk_list(memory, *head, kMaxModules, [&](Gva node) {
    if (auto done = read(node - list); !done) {
      result.warnings.push_back(fmt::format("a module's BTF: {}", describe(done.error())));
    }
    return total <= kMaxBlobs;
  });
  if (walked.broken)
    result.warnings.push_back(fmt::format("btf_modules: {}", describe(*walked.broken)));
  result.truncated = walked.truncated || walked.stopped;
  return result;
}

}  // namespace vitrine::linux
