#include <unistd.h>

#include <string_view>

#include "fvm/sensor/sensor_main.h"
#include "fvm/super/super.h"

int main(int argc, char** argv) {
  const std::string_view role = argc == 2 ? argv[1] : "";
  if (role == "process") return vitrine::fvm::run_process_sensor();
  if (role == "super") return vitrine::fvm::run_super();
  if (::getpid() == 1 && argc == 1) return vitrine::fvm::run_init();
  return 64;  // started by hand: there is nothing for it to do
}
