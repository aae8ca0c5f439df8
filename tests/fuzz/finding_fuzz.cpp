// A finding's bytes, as they come out of an FVM that may be anybody's.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "symptom/finding.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto finding = vitrine::symptom::load_finding(bytes);
  if (!finding) return 0;
  const auto saved = vitrine::symptom::save(*finding);
  if (!std::ranges::equal(saved, bytes)) std::abort();
  (void)vitrine::symptom::to_json(*finding);
  return 0;
}
