#include <unistd.h>

#include <string_view>

#include "fvm/sensor/sensor_main.h"
#include "fvm/super/super.h"

int main(int argc, char** argv) {
  const std::string_view role = argc == 2 ? argv[1] : "";
  if (role == "process") return vitrine::fvm::run_process_sensor();
  if (role == "super") return vitrine::fvm::run_super();
  if (::getpid() == 1 && argc == 1) return vitrine::fvm::run_init();
  constexpr std::string_view kWords =
      "vitrine-fvm is started by vitrined, or is init of a microVM; docs/guard.md says how\n";
  static_cast<void>(!::write(STDERR_FILENO, kWords.data(), kWords.size()));
  return 64;
}
