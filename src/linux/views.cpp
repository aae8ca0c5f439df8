// The register of views, by name.
#include "linux/view.h"
#include "linux/views/sockets.h"

namespace vitrine::linux {
namespace {

std::span<const View* const> all() noexcept {
  static const View* const kViews[] = {
      &sockets_view(),
  };
  return kViews;
}

}  // namespace

std::span<const View* const> views() noexcept { return all(); }

const View* find_view(std::string_view name) noexcept {
  for (const View* view : all()) {
    if (view->info().name == name) return view;
  }
  return nullptr;
}

}  // namespace vitrine::linux
