// Script bytes through the whole front end: lexer, parser, checker, builder, verifier, formatter.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "vmipl/check.h"
#include "vmipl/format_script.h"
#include "vmipl/kernel_description.h"
#include "vmipl/program.h"
#include "vmipl/render.h"

namespace {

constexpr const char* kKernel =
    "vitrine-kernel 1\nsymbol ffffffff810a1b20 T do_exit\nsymbol ffffffff82b00000 D jiffies\n"
    "struct mm_struct 64\nmember pgd 0 0 ptr u64\n"
    "struct task_struct 512\nmember pid 64 0 s32\nmember flags 100 3 u32\nmember mm 128 0 ptr "
    "struct mm_struct\n"
    "member comm 256 0 array 16 char\nmember stats 512 0 array 4 u64\nmember inner 1024 0 struct "
    "mm_struct\n"
    "variable runqueues struct task_struct\nview processes\ncolumn pid integer\ncolumn name "
    "text\ncolumn tags list\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vitrine::vmipl;
  // Longer ones find nothing that these do not, and an hour should be many scripts: what is
  // linear in the length is shown by the tests of limits, up to 1 MiB.
  constexpr std::size_t kLongest = 2048;
  if (size > kLongest) return 0;
  static const auto kernel = KernelDescription::parse(kKernel);
  const Source source("fuzz.vmi", std::string(reinterpret_cast<const char*>(data), size));
  for (const bool attached : {false, true}) {
    Diagnostics diagnostics;
    CheckOptions options;
    if (attached) options.ports = kernel->ports();
    const auto checked = check(source, options, diagnostics);
    (void)render_text(source, diagnostics);
    (void)render_json(source, diagnostics);
    if (!checked.program) continue;
    if (verify(*checked.program)) abort();  // what we build, we accept
    const auto loaded = load_program(save(*checked.program));
    if (!loaded || *loaded != *checked.program) abort();
    (void)list(*checked.program);
  }
  Diagnostics diagnostics;
  if (const auto once = format_script(source, diagnostics)) {
    const auto twice = format_script(Source("twice.vmi", *once), diagnostics);
    if (!twice || *twice != *once) abort();
  }
  return 0;
}
