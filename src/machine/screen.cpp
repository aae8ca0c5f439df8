#include "machine/screen.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "machine/growing_file.h"

namespace vitrine {

Outcome<std::string> take_picture(Qmp& qmp, PictureFormat format) {
  auto file = TRY(GrowingFile::create("vitrine-screen"));
  const auto added = nlohmann::json::parse(
      TRY(qmp.execute_with_file("add-fd", {}, file.descriptor())), nullptr, false);
  if (!added.is_object() || !added.contains("fd") || !added["fd"].is_number_integer() ||
      !added.contains("fdset-id") || !added["fdset-id"].is_number_integer()) {
    return std::unexpected(Problem(Errc::protocol, "add-fd answered nonsense"));
  }
  const auto taken = qmp.execute(
      "screendump",
      fmt::format(R"({{"filename":"/proc/self/fd/{}"{}}})", added["fd"].get<long long>(),
                  format == PictureFormat::png ? R"(,"format":"png")" : ""));
  (void)qmp.execute("remove-fd",
                    fmt::format(R"({{"fdset-id":{}}})", added["fdset-id"].get<long long>()));
  if (!taken)
    return std::unexpected(Problem(
        Errc::unsupported, fmt::format("no picture of the screen: {}", taken.error().message)));
  std::string picture;
  for (std::string piece; !(piece = file.take(16 * 1024 * 1024)).empty();) picture += piece;
  if (picture.empty())
    return std::unexpected(Problem(Errc::protocol, "QEMU wrote an empty picture"));
  return picture;
}

}  // namespace vitrine
