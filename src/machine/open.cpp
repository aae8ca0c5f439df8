#include "machine/open.h"

#include <sys/stat.h>

#include <string>

#include "machine/image_machine.h"
#include "machine/qemu_machine.h"
#include "machine/qemu_process.h"

namespace vitrine {

Outcome<std::unique_ptr<Machine>> open_machine(std::string_view name_or_path, OpenOptions options) {
  if (name_or_path.starts_with("file:"))
    return open_image(std::string(name_or_path.substr(5)), options.layout);
  const std::string path(name_or_path);
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode) && !S_ISDIR(status.st_mode)) {
    return open_image(path, options.layout);
  }
  return open_qemu(TRY(find_qemu(name_or_path)), {options.layout, options.use_monitor});
}

}  // namespace vitrine
