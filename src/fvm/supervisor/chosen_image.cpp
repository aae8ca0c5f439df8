#include "fvm/supervisor/chosen_image.h"

#include <algorithm>

namespace vitrine::fvm {

Outcome<std::optional<FvmImage>> chosen_image(const Config& config) {
  auto image = FvmImage::load(config.image);
  if (image) return std::optional(std::move(*image));
  const auto insists = [](const GuestConfig& guest) {
    return guest.isolation == Isolation::microvm && !guest.automatic;
  };
  const bool wanted =
      insists(config.usual) ||
      std::ranges::any_of(config.guests, [&](const auto& own) { return insists(own.second); });
  if (wanted || image.error().code != Errc::not_found) return std::unexpected(image.error());
  return std::nullopt;
}

}  // namespace vitrine::fvm
