// Script bytes through the whole front end: lexer, parser, checker, diagnostics.
#include <cstddef>
#include <cstdint>
#include <string>

#include "vmipl/check.h"
#include "vmipl/render.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vitrine::vmipl;
  if (size > 65536) return 0;
  const Source source("fuzz.vmi", std::string(reinterpret_cast<const char*>(data), size));
  Diagnostics diagnostics;
  (void)check(source, {}, diagnostics);
  (void)render_text(source, diagnostics);
  (void)render_json(source, diagnostics);
  return 0;
}
